"""A person to be drawn: what the networks are shown of K pictures, and the frames that they make.

Pictures are square, (3, H, H) in [-1, 1], landmarks in their pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.head3d.head import Head, turn_between
from models.rhythmic.generator import RhythmicNet, RhythmicOutput
from models.rhythmic.maps import cover, edge_map, hull_depth, pseudo_flow, template_mask
from utils.face.pose import Pose

FADE = 0.25  # of the face's width beyond its outline, in which what its expression moves comes to rest
KEPT = np.radians(
    3
)  # a reference is warped until another one's pose is nearer by so much: else frames would flicker
Inputs = dict[str, Tensor]


class Person:
    """Draws frames of a person from references, which are embedded once; the network is in evaluation mode.

    heads: the references. key: which of them is turned to each frame's pose, by default the nearest to it.
    """

    @torch.no_grad()
    def __init__(self, network: RhythmicNet, heads: Sequence[Head], key: int | None = None) -> None:
        self.network, self.covered = network, covers_faces(network)
        self.device = next(network.parameters()).device
        self.heads, self.poses = list(heads), joined([head.rest for head in heads])
        self.key = None if key is None else self.heads[key]
        self.images = torch.stack([head.image for head in heads]).to(self.device)
        self.points = torch.from_numpy(np.stack([head.landmarks for head in heads])).float().to(self.device)
        inputs = label_inputs(self.images[None], self.points[None])
        self.encoded = network.encode_references(inputs["ref_images"], inputs["ref_labels"])
        self.chosen = np.zeros(1, int)  # (T,): the references that were warped last, one for each frame

    @torch.no_grad()
    def draw(self, landmarks: np.ndarray, pose: Pose) -> RhythmicOutput:
        """landmarks (T, 68, 2), poses (T) of frames in a row -> what the network makes of them"""
        options = self.network.config
        target = torch.from_numpy(landmarks).float().to(self.device)
        inputs = dict(label=edge_map(target, self.images.shape[-1]))
        how = self.covered, options["landmark_flow"]
        self.chosen = chosen = nearest(self.poses, pose, int(self.chosen[-1]))
        if options["warp_ref"]:
            inputs |= guide_inputs(self.images[chosen], self.points[chosen], target, "warp", *how)
        if options["warp_ani"]:
            pictures, moved = self._turned(chosen, pose)
            inputs |= guide_inputs(pictures, moved, target, "ani", *how)
        return self.network.draw(self.encoded, **network_inputs(inputs))

    def _turned(self, chosen: np.ndarray, pose: Pose) -> tuple[Tensor, Tensor]:
        """References (T,) by number, turned to poses (T) -> pictures (T, 3, H, H), their landmarks (T, 68, 2)"""
        pictures = torch.empty(len(chosen), *self.images.shape[1:])
        points = np.empty((len(chosen), 68, 2), np.float32)
        for number in np.unique(chosen):
            frames = np.flatnonzero(chosen == number)
            head, own = self.heads[number] if self.key is None else self.key, pose[frames]
            pictures[frames], points[frames] = head.pictures(own).cpu(), head.landmarks_in(own)
        return pictures.to(self.device), torch.from_numpy(points).to(self.device)


def covers_faces(network: RhythmicNet) -> bool:
    """Whether it was trained with eyes and mouths of warped pictures covered (--crop_ref)"""
    return bool(getattr(network, "metadata", {}).get("crop_ref", True))


def joined(poses: Sequence[Pose]) -> Pose:
    return Pose.of(np.concatenate([one.table() for one in poses]))


def nearest(references: Pose, pose: Pose, last: int = 0) -> np.ndarray:
    """Poses of K references and of T frames in a row -> (T,): whose pose is the nearest to each; `last` before them"""
    chosen = []
    for number in range(len(pose)):
        far = turn_between(references, pose[number : number + 1])
        if far.min() < far[last] - KEPT:
            last = int(far.argmin())
        chosen.append(last)
    return np.array(chosen)


def guide_inputs(
    images: Tensor, landmarks: Tensor, target: Tensor, name: str, covered: bool, flow: bool
) -> Inputs:
    """Of one picture for each frame, images (B, 3, H, H), landmarks (B, 68, 2), and the frame's landmarks target
    (B, 68, 2) -> NAME_image, NAME_label and, with `flow`, flow_NAME (B, 2, H, H) and confidence_NAME (B, 1, H, H)

    name: "warp", whose flow is called flow_ref, or "ani". covered: eyes and mouth are black, for they are to be drawn.
    The moved head's flow is its expression's alone, and fades beyond the face.
    """
    size = images.shape[-1]
    shown = cover(images, template_mask(landmarks, size)) if covered else images
    inputs = {f"{name}_image": shown, f"{name}_label": edge_map(landmarks, size)}
    if flow:
        moved, confidence = pseudo_flow(landmarks, target, size)
        if name == "ani":
            width = (target[:, 16] - target[:, 0]).norm(dim=-1).clamp_min(1)[:, None, None, None]
            share = (1 + hull_depth(target.float(), size) / (FADE * width)).clamp(0, 1)
            moved = moved * share * share * (3 - 2 * share)
        which = "ref" if name == "warp" else name
        inputs |= {f"flow_{which}": moved, f"confidence_{which}": confidence}
    return inputs


def label_inputs(images: Tensor, landmarks: Tensor) -> Inputs:
    """References, images (B, K, 3, H, H), landmarks (B, K, 68, 2) -> ref_images, ref_labels (B, K, 1, H, H)"""
    labels = edge_map(landmarks.flatten(0, 1), images.shape[-1])
    return dict(ref_images=images, ref_labels=labels.unflatten(0, landmarks.shape[:2]))


def network_inputs(batch: Inputs, prior: bool = True) -> Inputs:
    """Of what is there, that which `RhythmicNet` is given; prior: the landmarks' flows are, too"""
    names = ["label", "ref_images", "ref_labels", "warp_image", "warp_label", "ani_image", "ani_label"]
    inputs = {name: batch[name] for name in names if name in batch}
    flows = {f"prior_{which}": batch[f"flow_{which}"] for which in ("ref", "ani") if f"flow_{which}" in batch}
    return inputs | (flows if prior else {})
