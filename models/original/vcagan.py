"""VCA-GAN's networks as first released, written again from published facts about them: the reference to compare with.

Clip by clip where that matters, float32, with the original's parameter names, so that its checkpoints load with
`load_state_dict`. Noise is an argument, which the original draws inside. Only tests use it; this repository's networks
are in models/lips. Widths are the original's by default. Shapes as there: spectra have a channel (B, 1, F, T), context
is (B, K, S).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROOT = 2**0.5


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; slopes: PReLU of each channel, as in front of the sentence encoder"""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, slopes: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.relu1, self.relu2 = (nn.PReLU(outputs) if slopes else nn.ReLU() for _ in range(2))
        self.downsample = None
        if stride > 1:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        side = x if self.downsample is None else self.downsample(x)
        return self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))) + side)


class ResNet(nn.Module):
    """(N, w, 28, 28) -> (N, 8 w)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        for number, inputs in enumerate((width, width, 2 * width, 4 * width), 1):
            outputs = width * 2 ** (number - 1)
            first = BasicBlock(inputs, outputs, 1 if number == 1 else 2, slopes=True)
            setattr(self, f"layer{number}", nn.Sequential(first, BasicBlock(outputs, outputs, slopes=True)))
        self.avgpool = nn.AvgPool2d(4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.avgpool(x).flatten(1)


class Visual_front(nn.Module):  # noqa: N801
    """Front-end and sentence encoder, which hears a batch's padding too"""

    def __init__(self, width: int = 64, context: int = 512) -> None:
        super().__init__()
        self.frontend = nn.Sequential(
            nn.Conv3d(1, width, (5, 7, 7), stride=(1, 2, 2), padding=(2, 3, 3), bias=False),
            nn.BatchNorm3d(width),
            nn.PReLU(width),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        self.resnet = ResNet(width)
        self.dropout = nn.Dropout(0.3)
        self.sentence_encoder = nn.GRU(8 * width, context, num_layers=2, bidirectional=True, dropout=0.3)
        self.fc = nn.Linear(2 * context, context)

    def forward(self, mouths: Tensor) -> tuple[Tensor, Tensor]:
        """mouths (B, 1, S, 112, 112) -> local features (B, S, 8 w), context (B, K, S)"""
        frames = self.frontend(mouths).unbind(2)
        local = torch.stack([self.dropout(self.resnet(frame)) for frame in frames])  # (S, B, 8 w)
        heard, _ = self.sentence_encoder(local)
        return local.transpose(0, 1), self.fc(heard).permute(1, 2, 0)


class GenResBlk(nn.Module):
    """The decoder's residual block: 5 x 5 convolutions after batch normalisations"""

    def __init__(self, inputs: int, outputs: int, up: bool = False) -> None:
        super().__init__()
        self.up = up
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 5, padding=2)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), nn.Conv2d(outputs, outputs, 5, padding=2)
        if inputs != outputs:
            self.conv1x1 = nn.Conv2d(inputs, outputs, 1, bias=False)

    def grown(self, x: Tensor) -> Tensor:
        """Every number two by two times, where this block doubles the size"""
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3) if self.up else x

    def forward(self, x: Tensor) -> Tensor:
        made = self.conv1(self.grown(F.leaky_relu(self.norm1(x), 0.2)))
        made = self.conv2(F.leaky_relu(self.norm2(made), 0.2))
        side = self.grown(x)
        side = self.conv1x1(side) if hasattr(self, "conv1x1") else side
        return (made + side) / ROOT


class AVAttention(nn.Module):
    """Visual context attention; each clip's columns see its own frames alone"""

    def __init__(self, column: int, rows: int, context: int, width: int, channels: int) -> None:
        super().__init__()
        self.k, self.v = nn.Linear(context, width), nn.Linear(context, width)
        self.q, self.mel = nn.Linear(column, width), nn.Linear(width, rows * channels)
        self.rows, self.channels = rows, channels

    def forward(self, context: Tensor, maps: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
        """context (B, S, K), maps (B, C, F, T) -> found (B, channels, F, T); attention (B, T, S), to compare"""
        found, attention = [], []
        for sentence, one, length in zip(context, maps, lengths, strict=True):
            query = self.q(one.reshape(-1, one.shape[2]).t())  # (T, width)
            scores = query @ self.k(sentence).t() / query.shape[1] ** 0.5
            scores[:, length:] = -torch.inf
            weights = scores.softmax(1)
            columns = self.mel(weights @ self.v(sentence))
            found.append(columns.view(-1, self.rows, self.channels).permute(2, 1, 0))
            attention.append(weights)
        return torch.stack(found), torch.stack(attention)


class Decoder(nn.Module):
    """Local features, context and noise to mels of three sizes"""

    def __init__(self, width: int = 512, local: int = 512, context: int = 512, noise: int = 128) -> None:
        super().__init__()
        w2, w4, w8, w16 = (width // n for n in (2, 4, 8, 16))
        self.decode = nn.ModuleList(
            [GenResBlk(local + noise, width), GenResBlk(width, w2), GenResBlk(w2, w2)]
        )
        self.g1 = nn.ModuleList([GenResBlk(w2, w4), GenResBlk(w4, w4), GenResBlk(w4, w4)])
        self.g2 = nn.ModuleList([GenResBlk(w4, w8, up=True), GenResBlk(w8, w8), GenResBlk(w8, w8)])
        self.g3 = nn.ModuleList([GenResBlk(w8, w16, up=True), GenResBlk(w16, w16), GenResBlk(w16, w16)])
        self.att1 = AVAttention(20 * w4, 20, context, w2, w8)
        self.attconv1 = nn.Conv2d(w4 + w8, w4, 5, padding=2)
        self.att2 = AVAttention(40 * w8, 40, context, w2, w16)
        self.attconv2 = nn.Conv2d(w8 + w16, w8, 5, padding=2)
        for number, channels in enumerate((w4, w8, w16), 1):
            layers = (nn.BatchNorm2d(channels), nn.LeakyReLU(0.2), nn.Conv2d(channels, 1, 1), nn.Tanh())
            setattr(self, f"to_mel{number}", nn.Sequential(*layers))

    def forward(
        self, context: Tensor, local: Tensor, lengths: list[int], noise: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
        """context (B, K, S), local (B, S, 8 w), noise (B, Z, 20, S) -> mels (B, 1, 20, S), (B, 1, 40, 2 S),
        (B, 1, 80, 4 S); attention (B, S, S), (B, 2 S, S), which the original keeps to itself
        """
        sentence = context.transpose(1, 2)
        x = torch.cat([torch.stack(20 * [local.transpose(1, 2)], dim=2), noise], dim=1)
        for block in (*self.decode, *self.g1):
            x = block(x)
        mel1, (found, attention1) = self.to_mel1(x), self.att1(sentence, x, lengths)
        x = self.attconv1(torch.cat([x, found], dim=1))
        for block in self.g2:
            x = block(x)
        mel2, (found, attention2) = self.to_mel2(x), self.att2(sentence, x, lengths)
        x = self.attconv2(torch.cat([x, found], dim=1))
        for block in self.g3:
            x = block(x)
        return (mel1, mel2, self.to_mel3(x)), (attention1, attention2)


class ResBlk(nn.Module):
    """Residual block without norms: of the postnet over time, of the discriminators (flat) at half the size"""

    def __init__(self, inputs: int, outputs: int, flat: bool) -> None:
        super().__init__()
        layer = nn.Conv2d if flat else nn.Conv1d
        self.flat = flat
        self.conv1 = layer(inputs, inputs, 5, padding=2)
        self.conv2 = layer(inputs, outputs, 5, padding=2)
        if inputs != outputs:
            self.conv1x1 = layer(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        made = self.conv1(F.leaky_relu(x, 0.2))
        side = self.conv1x1(x) if hasattr(self, "conv1x1") else x
        if self.flat:
            made, side = F.avg_pool2d(made, 2), F.avg_pool2d(side, 2)
        return (self.conv2(F.leaky_relu(made, 0.2)) + side) / ROOT


class Postnet(nn.Module):
    """The finest mel to linear magnitudes"""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        wide = 2 * width
        self.postnet = nn.Sequential(
            *(nn.Conv1d(80, width, 7, padding=3), nn.BatchNorm1d(width), nn.LeakyReLU(0.2)),
            *(ResBlk(a, wide, flat=False) for a in (width, wide, wide)),
            nn.Conv1d(wide, 321, 1, bias=False),
        )

    def forward(self, mel: Tensor) -> Tensor:
        """(B, 1, 80, T) -> (B, 1, 321, T)"""
        return self.postnet(mel[:, 0])[:, None]


class Average(nn.Module):
    """(B, C, H, W) -> (B, C)"""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Discriminator(nn.Module):
    """Of one size of mel; phase 1, 2, 3 from the coarsest on"""

    def __init__(self, phase: int, context: int = 512, width: int = 32) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(phase + 2)]
        blocks = [ResBlk(a, b, flat=True) for a, b in pairwise(widths)]
        self.main = nn.Sequential(nn.Conv2d(1, width, 5, padding=2), *blocks)
        last = widths[-1]

        def end() -> list[nn.Module]:
            valid = [nn.LeakyReLU(0.2), nn.Conv2d(last, last, 5), nn.LeakyReLU(0.2)]
            return [*valid, Average(), nn.Linear(last, 1)]

        joined = nn.Conv2d(last + context, last, 5, padding=2)
        self.uncond, self.cond = nn.Sequential(*end()), nn.Sequential(nn.LeakyReLU(0.2), joined, *end())

    def forward(self, mel: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """mel (B, 1, F, T), context (B, K, S) -> logits (B, 1) of the mel alone, and with its context"""
        maps = self.main(mel)
        mean = context.sum(2) / context.shape[2]
        around = mean[:, :, None, None].repeat(1, 1, maps.shape[2], maps.shape[3])
        return self.uncond(maps), self.cond(torch.cat([maps, around], dim=1))


class sync_Discriminator(nn.Module):  # noqa: N801
    """Of mels, what the mouth should look like, and two losses of how far it does"""

    def __init__(self, features: int = 512, width: int = 128, temp: float = 1.0) -> None:
        super().__init__()
        halves = [
            (nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.PReLU(b))
            for a, b in ((1, width), (width, 2 * width))
        ]
        self.frontend = nn.Sequential(*halves[0], *halves[1])
        self.Res_block = nn.Sequential(BasicBlock(2 * width, 2 * width))
        self.Linear = nn.Linear(40 * width, features)
        self.temp = temp

    def features(self, mel: Tensor) -> Tensor:
        """(B, 1, 80, 4 S) -> (B, S, features)"""
        maps = self.Res_block(self.frontend(mel))
        return torch.stack([self.Linear(column.flatten(1)) for column in maps.unbind(3)], dim=1)

    def forward(self, seen: Tensor, mel: Tensor, gen: bool = False) -> Tensor:
        """seen (B, S, features) -> loss (B,): of the contrast between a clip's frames; gen: 5 - |cosine|, which the
        generator minimises
        """
        heard = self.features(mel)
        losses = []
        for v, a in zip(seen, heard, strict=True):
            cosines = (v @ a.t()) / v.norm(dim=1)[:, None] / a.norm(dim=1)
            if gen:
                losses.append(5 - cosines.diagonal().abs().mean())
                continue
            likeness, right = cosines / self.temp, torch.arange(len(v))
            losses.append((F.cross_entropy(likeness, right) + F.cross_entropy(likeness.t(), right)) / 2)
        return torch.stack(losses)
