"""A person to be drawn: what the networks are shown of K pictures, and of each frame that is wanted.

Pictures are square, (3, H, H) in [-1, 1], landmarks in their pixels.
"""

from __future__ import annotations

from torch import Tensor

from models.rhythmic.maps import cover, edge_map, hull_depth, pseudo_flow, template_mask

FADE = 0.25  # of the face's width beyond its outline, in which what its expression moves comes to rest
Inputs = dict[str, Tensor]


def guide_inputs(
    images: Tensor, landmarks: Tensor, target: Tensor, name: str, covered: bool, prior: bool
) -> Inputs:
    """Of one picture for each frame, images (B, 3, H, H), landmarks (B, 68, 2), the frame's landmarks target
    (B, 68, 2) -> NAME_image, NAME_label and, with `prior`, flow_NAME (B, 2, H, H) and confidence_NAME (B, 1, H, H)

    covered: eyes and mouth are black, for they are to be drawn. The flow of the moved head ("ani") is that of the
    expression alone, and fades beyond the face.
    """
    size = images.shape[-1]
    shown = cover(images, template_mask(landmarks, size)) if covered else images
    inputs = {f"{name}_image": shown, f"{name}_label": edge_map(landmarks, size)}
    if prior:
        flow, confidence = pseudo_flow(landmarks, target, size)
        if name == "ani":
            width = (target[:, 16] - target[:, 0]).norm(dim=-1).clamp_min(1)[:, None, None, None]
            share = (1 + hull_depth(target.float(), size) / (FADE * width)).clamp(0, 1)
            flow = flow * share * share * (3 - 2 * share)
        which = "ref" if name == "warp" else name
        inputs |= {f"flow_{which}": flow, f"confidence_{which}": confidence}
    return inputs


def label_inputs(images: Tensor, landmarks: Tensor) -> Inputs:
    """References, images (B, K, 3, H, H), landmarks (B, K, 68, 2) -> ref_images, ref_labels (B, K, 1, H, H)"""
    labels = edge_map(landmarks.flatten(0, 1), images.shape[-1])
    return dict(ref_images=images, ref_labels=labels.unflatten(0, landmarks.shape[:2]))
