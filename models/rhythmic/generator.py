"""The generator of rhythmic head motion (Chen et al. 2020): posed landmarks and K frames of a person to frames.

What differs from the original, and why:
- K is free. Attention alone sees how many references there are; their common features are those of their mean, where
  the original has convolutions of 128 K channels.
- Layers that nobody looks at are gone: four levels of the image embedders, the finest of the comb encoder.
- Generated kernels of the label embedder follow a nearest doubling, and are scaled to keep their signal's size.
- Flows of zero change nothing (`align_corners`); masks have any size; the comb encoder multiplies matrices.
- The second pass without pictures (`add_raw_loss`) leaves the norms' running statistics alone.
- Frames before the target (`n_frames_G` above 1) take no part: the published commands do not use them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.layers import fold_norms
from models.rhythmic.composition import MainBranch
from models.rhythmic.embedding import Attention, HybridEmbedding, References
from models.rhythmic.flow import FlowNet, warp_by_flow
from models.rhythmic.kernels import CombEncoder, LevelKernels, WeightGenerator
from models.rhythmic.layers import NORMS, Spectral
from models.rhythmic.pyramids import ImageEmbedder, LabelEmbedder
from utils.errors import UserError

PAPER = (32, 64, 128, 256, 512, 1024)
FLOW = (32, 64, 128, 256)


class RhythmicOutput(NamedTuple):
    """N frames, and what they were made of. None: of a picture without its flag; `raw` in evaluation of the non-linear
    composition; `blended` where nothing is blended, or one picture alone
    """

    frames: Tensor  # (N, 3, H, W) in [-1, 1]
    raw: Tensor | None  # (N, 3, H, W), without the pictures
    flow_ref: Tensor | None  # (N, 2, H, W) in pixels, x first: warped(p) = picture(p + flow(p))
    flow_ani: Tensor | None
    weight_ref: Tensor | None  # (N, 1, H, W) in [0, 1]: of what is synthesised; 0 trusts the warped picture
    weight_ani: Tensor | None
    warped_ref: Tensor | None  # (N, 3, H, W)
    warped_ani: Tensor | None
    attention: Tensor  # (N, K, H / 4, W / 4), which adds up to 1 over K
    blended: Tensor | None = None  # (N, 3, H, W): with the warped ani, before the reference joins


class Style(NamedTuple):
    """What the references are to a target: features for the main branch and, with generated weights, kernels"""

    features: Tensor  # (N, C, H / 32, W / 32)
    kernels: list[LevelKernels]

    def repeated(self, times: int) -> Style:
        if times == 1:
            return self
        return Style(self.features.repeat_interleave(times, 0), [one.repeated(times) for one in self.kernels])


class Encoded(NamedTuple):
    """References, embedded once for all frames of a clip: `RhythmicNet.encode_references`"""

    references: References
    count: int  # K
    style: Style | None  # where it is the same for every target


class Moved(NamedTuple):
    """A picture moved to the target: see `RhythmicOutput`"""

    flow: Tensor | None = None
    weight: Tensor | None = None
    warped: Tensor | None = None
    used: Tensor | None = None  # warped, or with `no_warp` as it was


class RhythmicNet(nn.Module):
    """K frames of a person and a target's edge map to the target; a reference and a render of the head, warped, help.

    widths: channels at each size, from the whole down to the smallest, the paper's as default; flow_widths,
    flow_blocks: of each flow net; size: of the square pictures it is trained on, a multiple of 2 ** (levels - 1); norm:
    "batch" as published, "instance" or "group" for small batches. The eight flags are the original's, by default as in
    its README's training. Not in the paper: label_skips, see `LabelEmbedder`; landmark_flow: the flow nets add to flows
    that are given (`maps.pseudo_flow`), and see pictures moved by these; halved: the references' towers, attention and
    flow nets begin at half the size, for CPUs; blend: frames of the non-linear composition are blended with the warped
    pictures as the linear one's are. Raises UserError for options that do not fit.
    """

    def __init__(
        self,
        widths: Sequence[int] = PAPER,
        flow_widths: Sequence[int] = FLOW,
        flow_blocks: int = 6,
        size: int = 256,
        norm: str = "batch",
        adaptive_spade: bool = True,
        warp_ref: bool = True,
        warp_ani: bool = True,
        spade_combine: bool = True,
        add_raw_loss: bool = True,
        use_new: bool = True,
        no_warp: bool = False,
        no_atten: bool = False,
        label_skips: bool = False,
        landmark_flow: bool = False,
        halved: bool = False,
        blend: bool = False,
    ) -> None:
        super().__init__()
        self.config = dict(widths=list(widths), flow_widths=list(flow_widths), flow_blocks=flow_blocks)
        self.config |= dict(size=size, norm=norm, adaptive_spade=adaptive_spade, warp_ref=warp_ref)
        self.config |= dict(warp_ani=warp_ani, spade_combine=spade_combine, add_raw_loss=add_raw_loss)
        self.config |= dict(use_new=use_new, no_warp=no_warp, no_atten=no_atten, label_skips=label_skips)
        self.config |= dict(landmark_flow=landmark_flow, halved=halved, blend=blend)
        check_options(self.config)
        self.attention = None if no_atten else Attention(widths, norm, halved)
        self.embedding = HybridEmbedding(widths, norm, halved, use_new, adaptive_spade)
        adaptive = range(len(widths) - 2) if adaptive_spade else []
        self.comb = CombEncoder(widths, norm) if adaptive_spade else None
        self.generators = nn.ModuleList(WeightGenerator(widths[i + 1], widths[i]) for i in adaptive)
        self.labels = LabelEmbedder(widths, adaptive_spade, label_skips)
        flow = flow_widths, flow_blocks, norm, halved
        self.flow_ref, self.flow_ani = (FlowNet(*flow) if one else None for one in (warp_ref, warp_ani))
        pictures = (warp_ref, warp_ani) if spade_combine else (False, False)
        self.see_ref, self.see_ani = (ImageEmbedder(widths) if one else None for one in pictures)
        self.main = MainBranch(widths, sum(pictures), adaptive_spade, norm, use_new)

    def forward(
        self,
        label: Tensor,
        ref_images: Tensor,
        ref_labels: Tensor,
        warp_image: Tensor | None = None,
        warp_label: Tensor | None = None,
        ani_image: Tensor | None = None,
        ani_label: Tensor | None = None,
        prior_ref: Tensor | None = None,
        prior_ani: Tensor | None = None,
    ) -> RhythmicOutput:
        """label (B, 1, H, W), ref_images (B, K, 3, H, W), ref_labels (B, K, 1, H, W), warp_image and ani_image
        (B, 3, H, W), warp_label and ani_label (B, 1, H, W) -> RhythmicOutput

        Pictures in [-1, 1], labels in [0, 1]. warp_image: the reference to be warped, covered by its template;
        ani_image: the render of the head. Either is needed where its flag is set, and so is its prior (B, 2, H, W), in
        pixels, with landmark_flow.
        """
        encoded = self.encode_references(ref_images, ref_labels)
        return self.draw(encoded, label, warp_image, warp_label, ani_image, ani_label, prior_ref, prior_ani)

    def encode_references(self, ref_images: Tensor, ref_labels: Tensor) -> Encoded:
        """ref_images (B, K, 3, H, W), ref_labels (B, K, 1, H, W) -> what `draw` needs of them, for any number of frames

        All that does not depend on the target: with one reference or `no_atten` that is all of it, and frames cost
        the drawing alone; otherwise attention and the smaller half of the towers go with each frame.
        """
        keys = None if self.attention is None else fold_keys(self.attention.key, ref_labels)
        references, count = self.embedding.encode(ref_images, ref_labels, keys), ref_images.shape[1]
        fixed = (count == 1 or self.attention is None) and not self.training
        style = None
        if fixed:
            style = self._style(references, _evenly(references, len(ref_images), count))
        return Encoded(references, count, style)

    def draw(
        self,
        encoded: Encoded,
        label: Tensor,
        warp_image: Tensor | None = None,
        warp_label: Tensor | None = None,
        ani_image: Tensor | None = None,
        ani_label: Tensor | None = None,
        prior_ref: Tensor | None = None,
        prior_ani: Tensor | None = None,
    ) -> RhythmicOutput:
        """`forward` with references that `encode_references` gave: label (B T, 1, H, W), T frames in a row of each clip

        Pictures and priors are as many as frames.
        """
        references, count, style = encoded
        times = len(label) // len(references.images)
        if style is not None or self.attention is None:
            attention = _evenly(references, len(label), count)
        else:
            attention = self.attention(label, references.keys)
        style = self._style(references, attention) if style is None else style.repeated(times)
        ref = self._move(self.flow_ref, label, warp_image, warp_label, prior_ref)
        ani = self._move(self.flow_ani, label, ani_image, ani_label, prior_ani)
        frames, raw, blended = self._compose(style, self.labels(label, style.kernels), ref, ani)
        moved = [getattr(one, name) for name in ("flow", "weight", "warped") for one in (ref, ani)]
        return RhythmicOutput(frames, raw, *moved, attention, blended)

    def _style(self, references: References, attention: Tensor) -> Style:
        image, label = self.embedding(references, attention)
        matrices = [] if self.comb is None else self.comb(image, label)
        kernels = [make(matrix) for make, matrix in zip(self.generators, matrices, strict=True)]
        return Style(image, kernels)

    def _move(
        self,
        network: FlowNet | None,
        label: Tensor,
        picture: Tensor | None,
        source_label: Tensor | None,
        prior: Tensor | None,
    ) -> Moved:
        """A picture (N, 3, H, W) -> where the target has it"""
        if network is None:
            return Moved()
        if self.config["landmark_flow"]:
            near = warp_by_flow(torch.cat([source_label, picture], dim=1), prior)
            flow, weight = network(label, near[:, :1], near[:, 1:])
            flow = flow + prior
        else:
            flow, weight = network(label, source_label, picture)
        warped = warp_by_flow(picture, flow, sharp=not self.training)
        return Moved(flow, weight, warped, picture if self.config["no_warp"] else warped)

    def _compose(
        self, style: Style, labels: list[Tensor], ref: Moved, ani: Moved
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """-> frames, raw and blended of `RhythmicOutput`"""
        x = self.main.coarse(style.features, labels, style.kernels)
        pairs = ((self.see_ref, ref), (self.see_ani, ani))
        maps = [see(torch.cat([one.used, one.weight], dim=1)) for see, one in pairs if see is not None]
        frames = self.main.fine(x, labels, maps, style.kernels)
        raw = None if self.config["spade_combine"] else frames
        if self.config["add_raw_loss"] and self.training:
            raw = self.main.fine(x, labels, [], style.kernels, remember=False)
        if self.config["spade_combine"] and not self.config["blend"]:
            return frames, raw, None
        blended = None
        if ani.used is not None:
            frames = torch.lerp(ani.used, frames, ani.weight)
            blended = frames if ref.used is not None else None
        if ref.used is not None:
            frames = torch.lerp(ref.used, frames, ref.weight)
        return frames, raw, blended


def fold_keys(tower: nn.Module, labels: Tensor) -> Tensor:
    """labels (B, K, 1, H, W) -> the attention's keys (B, K, C, H / 4, W / 4)"""
    return tower(labels.flatten(0, 1)).unflatten(0, labels.shape[:2])


def _evenly(references: References, frames: int, count: int) -> Tensor:
    """The attention (N, K, h, w) that sees all references alike"""
    return references.images.new_full((frames, count, *references.images.shape[-2:]), 1 / count)


def check_options(config: dict) -> None:
    """Raises UserError for options of `RhythmicNet` of which nothing could be built."""
    widths, flow_widths = config["widths"], config["flow_widths"]
    for name, found in (("widths", widths), ("flow_widths", flow_widths)):
        if len(found) < 2 or sorted(found) != list(found):
            raise UserError(f"{name} {found}: needs two numbers or more that do not fall; give others")
    if len(widths) < 4:
        raise UserError(
            f"widths {widths}: attention needs two sizes below a quarter; give four numbers or more"
        )
    halved = 1 << max(len(widths) - 1, len(flow_widths) - 1)
    if config["size"] % halved or config["size"] < 2 * halved:
        raise UserError(
            f"size {config['size']}: is halved down to 2 pixels or more; give a multiple of {halved}"
        )
    if config["norm"] not in NORMS:
        raise UserError(f"norm {config['norm']}: is none; give one of {', '.join(NORMS)}")
    pictures = config["warp_ref"] or config["warp_ani"]
    for name in ("spade_combine", "no_warp", "landmark_flow"):
        if config[name] and not pictures:
            raise UserError(
                f"{name}: is about pictures that are warped, and none are; add warp_ref or warp_ani"
            )
    if config["blend"] and not config["spade_combine"]:
        raise UserError("blend: linear composition blends anyway; add spade_combine, or leave it out")
    if config["add_raw_loss"] and not config["spade_combine"]:
        raise UserError("add_raw_loss: linear composition has the raw frames' loss anyway; leave it out")


def for_inference(network: RhythmicNet) -> RhythmicNet:
    """The network, changed in place, in eval mode: spectral and batch norms join the convolutions; not to be saved"""
    network.eval()
    for module in network.modules():
        if isinstance(module, Spectral):
            module.bake()
    return fold_norms(network)
