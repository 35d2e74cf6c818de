"""VG-net: landmarks to frames through an attention map and a motion map (Section 3.2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.convgru import ConvGRU
from models.layers import ResidualBlock, conv, fold, mlp, unfold, upconv
from models.lids import Eye, cover_closed, covers, open_lids, seal_lips
from models.warp import landmark_sampling, mouth_maps, sample

WARPS, ATTENTIONS = ("none", "landmark", "flow"), ("map", "none")
MOUTH_ATTENTION = (
    6.0  # added to the attention, before its sigmoid, where the mouth opens wider than the example's
)
FURTHEST = 0.1  # the learned flow's reach, in half image sizes
SMOOTH = 4  # pixels that share one vector of the learned flow, before it is interpolated


class VGOutput(NamedTuple):
    """What VG-net makes of one stretch of landmarks."""

    frames: Tensor  # (B, T, 3, H, W), attention x motion + (1 - attention) x still
    attention: Tensor  # (B, T, 1, H, W) in [0, 1]
    motion: Tensor  # (B, T, 3, H, W) in [-1, 1]
    landmark_attention: Tensor  # (B, T, 1, H / 4, W / 4) in [0, 1]
    still: Tensor  # (B, T, 3, H, W): the example image, or the example warped by the landmarks
    state: Tensor  # (B, C, H / 16, W / 16): hand it to the next stretch
    sampling: Tensor | None = None  # (B, T, H, W, 2): where the example shows each pixel, lids apart
    eyes: Sequence[Eye] = ()  # how far lids have slid over them, see `models.lids`


class VGNet(nn.Module):
    """Animates one example image by landmarks.

    width 64 and blocks 9 are the paper's. warp "landmark" moves the example's pixels by the landmarks first, and lets
    attention and motion paint what a warp cannot show (not in the paper); "flow" also learns how skin moves between the
    landmarks. lids: with a warp, closing eyes are covered by the skin above them (not in the paper). attention "none"
    regresses frames directly: they are the motion map, as if the attention were open everywhere. size: of the square
    images, a multiple of 16.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 9,
        recurrence: str = "time",
        warp: str = "none",
        size: int = 128,
        dropout: float = 0.5,
        attention: str = "map",
        lids: bool = False,
    ) -> None:
        super().__init__()
        if warp not in WARPS or attention not in ATTENTIONS or size % 16:
            raise ValueError(f"warp: one of {WARPS}, attention: one of {ATTENTIONS}, size: a multiple of 16")
        self.config = dict(width=width, blocks=blocks, recurrence=recurrence, warp=warp, size=size)
        self.config |= dict(dropout=dropout, attention=attention, lids=lids)
        self._add_encoders(width, size)
        self.bottleneck = conv(16 * width, 2 * width)
        self.gru = ConvGRU(2 * width, 8 * width, recurrence)
        self._add_decoders(width, blocks, dropout, warp, attention)
        self._initialise()

    def _add_encoders(self, w: int, size: int) -> None:
        self.image_encoder = nn.Sequential(
            nn.ReflectionPad2d(3), conv(3, w, 7, 1, 0), conv(w, w, stride=2), conv(w, 2 * w, stride=2)
        )
        self.bottleneck_encoder = nn.Sequential(conv(2 * w, 4 * w, stride=2), conv(4 * w, 8 * w, stride=2))
        self.landmark_encoder = mlp(136, (size // 16) ** 2)
        self.landmark_maps = conv(1, 4 * w)
        self.landmark_features = conv(4 * w, 8 * w)
        self.landmark_attention = nn.Sequential(
            upconv(8 * w, 4 * w, bias=True),
            upconv(4 * w, 2 * w, bias=True),
            nn.Conv2d(2 * w, 1, 3, padding=1),
        )

    def _add_decoders(self, w: int, blocks: int, dropout: float, warp: str, attention: str) -> None:
        self.generator = nn.Sequential(
            *(ResidualBlock(8 * w, dropout) for _ in range(blocks)),
            upconv(8 * w, 4 * w),
            upconv(4 * w, 2 * w),
        )
        self.decoder = nn.Sequential(upconv(2 * w, w), upconv(w, w // 2))
        if warp != "none":
            self.refine = conv(w // 2 + 6, w // 2)  # with the warped image and the place of the open mouth
            self.mouth_colour = nn.Parameter(
                torch.tensor([-0.5, -0.6, -0.6])
            )  # before tanh: a dark red shade
        self.motion_head = nn.Conv2d(w // 2, 3, 7, padding=3)
        self.attention_head = nn.Conv2d(w // 2, 1, 7, padding=3) if attention == "map" else None
        self.flow_head = nn.Conv2d(w // 2, 2, 7, padding=3) if warp == "flow" else None

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module not in (
                self.gru.input_gates,
                self.gru.hidden_gates,
            ):
                nn.init.normal_(module.weight, 0.0, 0.02)
        if self.flow_head is not None:  # it starts as no flow
            nn.init.zeros_(self.flow_head.weight)
            nn.init.zeros_(self.flow_head.bias)

    def start_from_warp(self, other: VGNet) -> None:
        """Takes over the weights of a network of the same widths, without the lids or the learned flow of this one."""
        self.load_state_dict(self.state_dict() | other.state_dict())

    @torch.no_grad()
    def centre_landmarks(self, mean: Tensor) -> None:
        """Starts the landmark encoder from deviations of an average face, mean (136,), and makes them loud.

        Faces differ from each other, and from themselves a moment later, by a twentieth of what they have in common.
        Left as it is, batch normalisation scales by the latter, and training sees motion late. Before training only.
        """
        linear = self.landmark_encoder[0]
        linear.weight.mul_(10)
        linear.bias.sub_(linear.weight @ mean.to(linear.weight))
        features = self.landmark_features[0].out_channels
        self.bottleneck[0].weight[:, -features:] *= 5  # their differences against the image's features

    def forward(
        self, example_image: Tensor, landmarks: Tensor, example_landmarks: Tensor, state: Tensor | None = None
    ) -> VGOutput:
        """example_image (B, 3, H, W), landmarks (B, T, 136), example_landmarks (B, 136) -> VGOutput

        Or an example for each frame, as a video gives: example_image (B, T, 3, H, W), example_landmarks (B, T, 136).
        """
        each = example_image.ndim == 5
        shallow = self.image_encoder(fold(example_image) if each else example_image)
        deep = self.bottleneck_encoder(shallow)  # (B, 512, H / 16, W / 16), shallow (B, 128, H / 4, W / 4)
        shallow, deep = ((unfold(x, len(landmarks)) if each else x.unsqueeze(1)) for x in (shallow, deep))
        features, attention = self._compare(landmarks, example_landmarks)
        deep = deep.expand_as(features)
        hidden = self.bottleneck(fold(torch.cat([deep, features], dim=2)))
        hidden, state = self.gru(unfold(hidden, len(landmarks)), state)
        generated = unfold(self.generator(fold(hidden)), len(landmarks))
        fused = torch.lerp(shallow.to(generated.dtype), generated, attention.to(generated.dtype))
        features = self.decoder(fold(fused))
        if self.config["warp"] == "none":
            still = (example_image if each else example_image.unsqueeze(1)).expand(
                -1, landmarks.shape[1], -1, -1, -1
            )
            found, (alpha, motion) = (), self._heads(features)
        else:
            warped = self._warped_heads_of_each if each else self._warped_heads
            still, alpha, motion, *found = warped(features, example_image, landmarks, example_landmarks)
        alpha, motion = unfold(alpha, len(landmarks)), unfold(motion, len(landmarks))
        return VGOutput(torch.lerp(still, motion, alpha), alpha, motion, attention, still, state, *found)

    def _compare(self, landmarks: Tensor, example_landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """The difference of landmark features (B, T, 512, h, w) and the landmark attention (B, T, 1, 4h, 4w)."""
        batch, steps = landmarks.shape[:2]
        # The example goes through the shared layers as one more frame of its clip, or as many as there are examples.
        examples = example_landmarks if example_landmarks.ndim == 3 else example_landmarks.unsqueeze(1)
        together = fold(torch.cat([landmarks, examples], dim=1))
        side = self.config["size"] // 16
        # bfloat16 would round landmarks to a quarter of a pixel.
        with torch.autocast(together.device.type, enabled=False):
            together = self.landmark_encoder(together.float())
        maps = self.landmark_maps(together.view(-1, 1, side, side))  # (B (T + 1), 256, h, w)
        features = unfold(self.landmark_features(maps), batch)
        maps = unfold(maps, batch)
        both = torch.cat([maps[:, :steps], maps[:, steps:].expand(-1, steps, -1, -1, -1)], dim=2)
        attention = torch.sigmoid(self.landmark_attention(fold(both)))
        return features[:, :steps] - features[:, steps:], unfold(attention, batch)

    def _heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """features (N, w / 2, H, W) -> attention (N, 1, H, W), motion (N, 3, H, W)"""
        motion, attention, _ = self._maps(features)
        return self._attention(attention, motion), torch.tanh(motion)

    def _warped_heads(
        self, features: Tensor, image: Tensor, landmarks: Tensor, example_landmarks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Sequence[Eye]]:
        """features (B T, w / 2, H, W), image (B, 3, H, W) -> still (B, T, 3, H, W), what `_heads` gives, sampling, eyes

        The motion map starts as the warped image, darker where the mouth opens wider than the example's; the attention
        starts open there. Otherwise training shuts it before the motion map has learnt to paint.
        """
        size, batch = image.shape[-1], len(image)
        opened, eyes = landmarks, []
        if self.config["lids"]:
            # bfloat16 would move points by a part of a pixel.
            with torch.autocast(image.device.type, enabled=False):
                opened, eyes = open_lids(example_landmarks, landmarks)
                eyes.append(seal_lips(example_landmarks, landmarks))
        sampling, skin = landmark_sampling(example_landmarks, opened, size), covers(eyes, size)
        mouth = fold(mouth_maps(landmarks, example_landmarks, size))
        still = sample(image, cover_closed(sampling, skin))
        shown = torch.cat([_before_tanh(fold(still)), mouth], dim=1)
        motion, attention, flow = self._maps(self.refine(torch.cat([features, shown.to(features)], dim=1)))
        if flow is not None:
            sampling = sampling + unfold(_smooth_flow(flow), batch)
            still = sample(image, cover_closed(sampling, skin))
        wider = mouth[:, 2:]
        motion = motion + _before_tanh(fold(still)) + wider * self.mouth_colour.view(1, 3, 1, 1)
        alpha = self._attention(attention, motion, MOUTH_ATTENTION * wider)
        return still, alpha, torch.tanh(motion), sampling, eyes

    def _warped_heads_of_each(
        self, features: Tensor, images: Tensor, landmarks: Tensor, example_landmarks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Sequence[Eye]]:
        """`_warped_heads` with an example for each frame: images (B, T, 3, H, W), example_landmarks (B, T, 136)"""
        alone = fold(landmarks).unsqueeze(1)  # each frame as a clip of one
        still, alpha, motion, sampling, eyes = self._warped_heads(
            features, fold(images), alone, fold(example_landmarks)
        )
        batch = len(landmarks)
        eyes = [Eye(*(unfold(part.squeeze(1), batch) for part in eye)) for eye in eyes]
        return unfold(still.squeeze(1), batch), alpha, motion, unfold(sampling.squeeze(1), batch), eyes

    def _maps(self, features: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """features (N, w / 2, H, W) -> maps of motion (N, 3, H, W), attention (N, 1, H, W) and flow (N, 2, H, W)

        One convolution makes them all; None stands for a head that the network does without.
        """
        heads = [self.motion_head, self.attention_head, self.flow_head]
        present = [head for head in heads if head is not None]
        weight, bias = (torch.cat([getattr(head, name) for head in present]) for name in ("weight", "bias"))
        maps = (
            F.conv2d(features, weight, bias, padding=3).float().split([len(head.bias) for head in present], 1)
        )
        made = iter(maps)
        return tuple(None if head is None else next(made) for head in heads)

    @staticmethod
    def _attention(maps: Tensor | None, motion: Tensor, start: Tensor | float = 0.0) -> Tensor:
        """maps (N, 1, H, W), or None where the network has no such head and motion is all there is"""
        return torch.ones_like(motion[:, :1]) if maps is None else torch.sigmoid(maps + start)


def _before_tanh(images: Tensor) -> Tensor:
    return torch.atanh(images.clamp(-0.98, 0.98))


def _smooth_flow(maps: Tensor) -> Tensor:
    """maps (N, 2, H, W) -> (N, H, W, 2), in normalised coordinates"""
    flow = FURTHEST * torch.tanh(F.avg_pool2d(maps, SMOOTH))
    return F.interpolate(flow, maps.shape[-2:], mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
