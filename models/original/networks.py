"""The original release's four networks, written again from published facts about them: the reference to compare with.

Frame by frame as there, float32, with the original's parameter names (its spelling too), so that its checkpoints load
with `load_state_dict`. Only tests and reports/benchmark.py use it; this repository's networks are in models/.
`width` 64 is the original's; every other width scales all layers alike.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_relu(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: int = 1, norm: bool = True
):
    """Convolution, batch normalisation, ReLU; a bias stands in where `norm` is false."""
    if norm:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU())


def up_relu(inputs: int, outputs: int, bias: bool) -> list[nn.Module]:
    """Transposed convolution to twice the size, batch normalisation, ReLU: three entries of a flat Sequential."""
    return [nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1, bias=bias), nn.BatchNorm2d(outputs), nn.ReLU()]


def audio_layers(w: int, norm: bool) -> nn.Sequential:
    """(B, 1, 28, 12) -> (B, 8 w, 12, 2)"""
    return nn.Sequential(
        conv_relu(1, w, norm=norm),
        conv_relu(w, 2 * w, norm=norm),
        nn.MaxPool2d(3, stride=(1, 2)),
        conv_relu(2 * w, 4 * w, norm=norm),
        conv_relu(4 * w, 4 * w, norm=norm),
        conv_relu(4 * w, 8 * w, norm=norm),
        nn.MaxPool2d(3, stride=(2, 2)),
    )


class AT_net(nn.Module):  # noqa: N801
    """Audio and example coefficients to landmark coefficients, through an LSTM."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w = width
        self.lmark_encoder = nn.Sequential(nn.Linear(6, 4 * w), nn.ReLU(), nn.Linear(4 * w, 8 * w), nn.ReLU())
        self.audio_eocder = audio_layers(w, norm=True)
        self.audio_eocder_fc = nn.Sequential(
            nn.Linear(24 * 8 * w, 32 * w), nn.ReLU(), nn.Linear(32 * w, 4 * w), nn.ReLU()
        )
        self.lstm = nn.LSTM(12 * w, 4 * w, 3, batch_first=True)
        self.lstm_fc = nn.Sequential(nn.Linear(4 * w, 6))

    def forward(self, example: Tensor, audio: Tensor) -> Tensor:
        """example (B, 6), audio (B, T, 28, 12) -> (B, T, 6)"""
        identity = self.lmark_encoder(example)
        inputs = []
        for t in range(audio.shape[1]):
            speech = self.audio_eocder(audio[:, t].unsqueeze(1))
            speech = self.audio_eocder_fc(speech.reshape(len(audio), -1))
            inputs.append(torch.cat([identity, speech], dim=1))
        outputs, _ = self.lstm(torch.stack(inputs, dim=1))
        return torch.stack([self.lstm_fc(outputs[:, t]) for t in range(audio.shape[1])], dim=1)


class AT_single(nn.Module):  # noqa: N801
    """Audio of one frame to landmark coefficients."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w = width
        self.audio_eocder = audio_layers(w, norm=False)
        self.audio_eocder_fc = nn.Sequential(
            nn.Linear(24 * 8 * w, 32 * w), nn.ReLU(), nn.Linear(32 * w, 4 * w), nn.ReLU(), nn.Linear(4 * w, 6)
        )

    def forward(self, audio: Tensor) -> Tensor:
        """audio (B, 28, 12) -> (B, 6)"""
        return self.audio_eocder_fc(self.audio_eocder(audio.unsqueeze(1)).reshape(len(audio), -1))


class ResnetBlock(nn.Module):
    """x + [conv, norm, ReLU, dropout, conv, norm]"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class Conv2dGRU(nn.Module):
    """One layer, 3x3, dilation 2, gates stacked as (reset, update, new); recurrent over dimension 0."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        bound = hidden**-0.5
        self.hidden = hidden
        self.weight_ih_l0 = nn.Parameter(torch.empty(3 * hidden, inputs, 3, 3).uniform_(-bound, bound))
        self.weight_hh_l0 = nn.Parameter(torch.empty(3 * hidden, hidden, 3, 3).uniform_(-bound, bound))
        self.bias_ih_l0 = nn.Parameter(torch.empty(3 * hidden).uniform_(-bound, bound))
        self.bias_hh_l0 = nn.Parameter(torch.empty(3 * hidden).uniform_(-bound, bound))

    def forward(self, sequence: Tensor) -> Tensor:
        """sequence (S, N, C, H, W), S the recurrent axis -> (S, N, hidden, H, W)"""
        _, count, _, height, width = sequence.shape
        h = sequence.new_zeros(count, self.hidden, height, width)
        outputs = []
        for x in sequence:
            from_input = F.conv2d(x, self.weight_ih_l0, self.bias_ih_l0, padding=2, dilation=2)
            from_state = F.conv2d(h, self.weight_hh_l0, self.bias_hh_l0, padding=2, dilation=2)
            i_r, i_z, i_n = from_input.chunk(3, dim=1)
            h_r, h_z, h_n = from_state.chunk(3, dim=1)
            reset, update = torch.sigmoid(i_r + h_r), torch.sigmoid(i_z + h_z)
            new = torch.tanh(i_n + reset * h_n)
            h = new + update * (h - new)
            outputs.append(h)
        return torch.stack(outputs)


class VG_net(nn.Module):  # noqa: N801
    """One image and landmarks to frames. Its GRU takes the batch for time: see `forward`."""

    def __init__(self, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        w = width
        self.image_encoder1 = nn.Sequential(
            nn.ReflectionPad2d(3),
            conv_relu(3, w, 7, 1, 0),
            conv_relu(w, w, 3, 2, 1),
            conv_relu(w, 2 * w, 3, 2, 1),
        )
        self.image_encoder2 = nn.Sequential(
            conv_relu(2 * w, 4 * w, 3, 2, 1), conv_relu(4 * w, 8 * w, 3, 2, 1)
        )
        self.landmark_encoder = nn.Sequential(nn.Linear(136, 64), nn.ReLU())
        self.landmark_encoder_stage2 = nn.Sequential(conv_relu(1, 4 * w))
        self.lmark_att = nn.Sequential(
            *up_relu(8 * w, 4 * w, bias=True),
            *up_relu(4 * w, 2 * w, bias=True),
            nn.Sequential(nn.Conv2d(2 * w, 1, 3, padding=1), nn.Sigmoid()),
        )
        self.lmark_feature = nn.Sequential(conv_relu(4 * w, 8 * w))
        self.generator1 = nn.Sequential(
            *(ResnetBlock(8 * w) for _ in range(blocks)),
            *up_relu(8 * w, 4 * w, bias=False),
            *up_relu(4 * w, 2 * w, bias=False),
        )
        self.base = nn.Sequential(*up_relu(2 * w, w, bias=False), *up_relu(w, w // 2, bias=False))
        self.generator_color = nn.Sequential(nn.Conv2d(w // 2, 3, 7, padding=3), nn.Tanh())
        self.generator_attention = nn.Sequential(nn.Conv2d(w // 2, 1, 7, padding=3), nn.Sigmoid())
        self.bottle_neck = nn.Sequential(conv_relu(16 * w, 2 * w))
        self.convGRU = Conv2dGRU(2 * w, 8 * w)

    def forward(self, image: Tensor, landmarks: Tensor, example_landmark: Tensor) -> tuple[Tensor, ...]:
        """image (B, 3, 128, 128), landmarks (B, T, 136), example_landmark (B, 136) ->
        frames (B, T, 3, 128, 128), attention (B, T, 1, 128, 128), colour as frames,
        landmark attention (B, T, 1, 32, 32)

        The GRU gets (B, T, ...) but runs over dimension 0: state passes from clip to clip of the batch, not from frame
        to frame. With one clip every frame starts from zero.
        """
        shallow = self.image_encoder1(image)
        deep = self.image_encoder2(shallow)
        example_map = self._landmark_map(example_landmark)
        example_feature = self.lmark_feature(example_map)
        inputs, attentions = [], []
        for t in range(landmarks.shape[1]):
            target_map = self._landmark_map(landmarks[:, t])
            attentions.append(self.lmark_att(torch.cat([target_map, example_map], dim=1)))
            change = self.lmark_feature(target_map) - example_feature
            inputs.append(self.bottle_neck(torch.cat([deep, change], dim=1)))
        hidden = self.convGRU(torch.stack(inputs, dim=1))
        frames, alphas, colours = [], [], []
        for t, attention in enumerate(attentions):
            fused = shallow * (1 - attention) + self.generator1(hidden[:, t]) * attention
            base = self.base(fused)
            colour, alpha = self.generator_color(base), self.generator_attention(base)
            frames.append(alpha * colour + (1 - alpha) * image)
            alphas.append(alpha)
            colours.append(colour)
        return tuple(torch.stack(parts, dim=1) for parts in (frames, alphas, colours, attentions))

    def _landmark_map(self, landmark: Tensor) -> Tensor:
        return self.landmark_encoder_stage2(self.landmark_encoder(landmark).view(-1, 1, 8, 8))


class GL_Discriminator(nn.Module):  # noqa: N801
    """Frames and the example's landmarks to a probability and landmarks. `decoder` is never used."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w = width
        self.image_encoder_dis = nn.Sequential(
            conv_relu(3, w, 3, 2, 1, norm=False),
            conv_relu(w, 2 * w, 3, 2, 1),
            conv_relu(2 * w, 4 * w, 3, 2, 1),
            conv_relu(4 * w, 8 * w, 3, 2, 1),
        )
        self.encoder = nn.Sequential(nn.Linear(136, 4 * w), nn.ReLU(), nn.Linear(4 * w, 8 * w), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(16 * w, 8 * w), nn.ReLU(), nn.Linear(8 * w, 136))
        self.img_fc = nn.Sequential(nn.Linear(64 * 8 * w, 8 * w), nn.ReLU())
        self.lstm = nn.LSTM(16 * w, 4 * w, 3, batch_first=True)
        self.lstm_fc = nn.Sequential(nn.Linear(4 * w, 136), nn.Tanh())
        self.decision = nn.Sequential(nn.Linear(4 * w, 1))
        self.aggregator = nn.AvgPool1d(16)

    def forward(self, frames: Tensor, example_landmark: Tensor) -> tuple[Tensor, Tensor]:
        """frames (B, T, 3, 128, 128), T from 16 to 31, example_landmark (B, 136) -> probability (B,), (B, T, 136)"""
        identity = self.encoder(example_landmark)
        inputs = []
        for t in range(frames.shape[1]):
            image = self.img_fc(self.image_encoder_dis(frames[:, t]).reshape(len(frames), -1))
            inputs.append(torch.cat([identity, image], dim=1))
        outputs, _ = self.lstm(torch.stack(inputs, dim=1))
        landmarks, decisions = [], []
        for t in range(frames.shape[1]):
            landmarks.append(self.lstm_fc(outputs[:, t]) + example_landmark)
            decisions.append(self.decision(outputs[:, t]))
        logits = self.aggregator(torch.stack(decisions, dim=2))  # (B, 1, 1): only the first 16 frames count
        return torch.sigmoid(logits).view(-1), torch.stack(landmarks, dim=1)


ORIGINAL_NETWORKS = {network.__name__: network for network in (AT_net, AT_single, VG_net, GL_Discriminator)}


class SPCH2FLM(nn.Module):
    """The noise-resilient release's network: one window of raw speech to coefficients. Without dropout, as it ran."""

    def __init__(self, filters: int = 64, width: int = 21) -> None:
        super().__init__()
        sizes = [1, filters, 2 * filters, 4 * filters, 8 * filters]
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            nn.Conv1d(a, b, width, stride=2) for a, b in pairwise(sizes)
        )
        length = 2240
        for _ in range(4):
            length = (length - width) // 2 + 1
        self.fc1 = nn.Linear(8 * filters * length, 6)

    def features(self, window: Tensor) -> Tensor:
        """window (B, 1, 2240) -> (B, 62464) at 64 filters of 21"""
        x = window
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.leaky_relu(layer(x), 0.3)
        return x.reshape(len(window), -1)

    def forward(self, window: Tensor) -> Tensor:
        """window (B, 1, 2240) -> (B, 6)"""
        return F.leaky_relu(self.fc1(self.features(window)), 0.3)


class SPCH2FLMTC(SPCH2FLM):
    """The same, conditioned on the coefficients of the frame before."""

    def __init__(self, filters: int = 64, width: int = 21) -> None:
        super().__init__(filters, width)
        self.fc2 = nn.Linear(12, 6)

    def forward(self, window: Tensor, condition: Tensor) -> Tensor:
        """window (B, 1, 2240), condition (B, 6) -> (B, 6)"""
        heard = F.leaky_relu(self.fc1(self.features(window)), 0.3)
        return self.fc2(torch.cat([heard, condition], dim=1))
