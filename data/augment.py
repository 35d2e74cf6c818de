"""Few people are in the data: each sample shows its person in another light, colour, pose and shape of face.

What changes is drawn where samples are made, from each sample's own random numbers; it is carried out here, for a whole
batch at once, on the device that trains. Example and targets of a sample change alike, so that what the network has to
learn stays the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from utils.face.landmarks import MIRROR
from utils.media.images import to_network


def draw_changes(random: np.random.Generator) -> dict[str, Tensor]:
    """How one sample changes: affine (2, 3), bend (2, 4, 4), order (68,), colour (6,), channels (3,)

    The pixel at q of a changed image is that at affine(q) + bend(q) of the original, in half image sizes about the
    centre; landmark i is where the original's landmark order[i] went. colour: gamma, saturation, the gains of three
    channels and what is added to them; channels: which of the channels each becomes.
    """
    mirrored = random.random() < 0.5
    affine, bend = np.eye(2, 3), np.zeros((2, 4, 4))
    if random.random() < 0.7:  # a small rotation, scale and shift, and a smooth bend: another face
        angle, scale = random.normal(0, 0.06), np.exp(random.normal(0, 0.05))
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        x, y = random.normal(0, 0.03, 2)
        affine, bend = np.array([[cos, -sin, x], [sin, cos, y]]), random.normal(0, 0.03, (2, 4, 4))
    if mirrored:
        affine[0], bend[0] = -affine[0], -bend[0]
    changes = {
        name: torch.from_numpy(array).float() for name, array in dict(affine=affine, bend=bend).items()
    }
    order = torch.tensor(MIRROR) if mirrored else torch.arange(68)
    return changes | dict(order=order) | draw_light(random)


def draw_light(random: np.random.Generator) -> dict[str, Tensor]:
    """colour (6,) and channels (3,) of `draw_changes`"""
    gamma, saturation = np.exp(random.normal(0, 0.25)), max(0.0, random.uniform(-0.15, 1.4))  # also grey
    gains = np.exp(random.normal(0, 0.15, 3)) * np.exp(random.normal(0, 0.15))  # temperature and contrast
    exposure = np.exp(-abs(random.normal(0, 0.5))) if random.random() < 0.3 else 1.0  # little light
    brightness = (random.normal(0, 0.06) + 0.5) * exposure - 0.5
    colour = np.array([gamma, saturation, *gains * exposure, brightness])
    channels = random.permutation(3) if random.random() < 0.15 else np.arange(3)
    return dict(colour=torch.from_numpy(colour).float(), channels=torch.from_numpy(channels))


def augment(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch of `PortraitSamples` -> its images as the networks see them, in [-1, 1], changed where changes were drawn

    example_image (B, 3, H, W) and frames (B, T, 3, H, W), uint8; example_landmarks (B, 136), landmarks (B, T, 136).
    In float32 also under autocast; nothing waits for the device.
    """
    images = to_network(torch.cat([batch["example_image"].unsqueeze(1), batch["frames"]], dim=1))
    landmarks = torch.cat([batch["example_landmarks"].unsqueeze(1), batch["landmarks"]], dim=1)
    if "affine" in batch:
        with torch.autocast(images.device.type, enabled=False):
            images, landmarks = reshape_faces(images, landmarks, batch)
            images = recolour(images, batch)
    parts = dict(example_image=images[:, 0], example_landmarks=landmarks[:, 0])
    return parts | dict(frames=images[:, 1:], landmarks=landmarks[:, 1:])


def reshape_faces(images: Tensor, landmarks: Tensor, changes: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """images (B, T, 3, H, W), landmarks (B, T, 136) -> both after mirroring, the affine map and the bend"""
    size = images.shape[-2:]
    affine = changes["affine"]
    flow = F.interpolate(changes["bend"], size, mode="bicubic", align_corners=False)  # (B, 2, H, W)
    y, x = ((torch.arange(n, device=images.device) * 2 + 1) / n - 1 for n in size)
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)  # (H W, 2)
    grid = _move(pixels, affine).unflatten(1, size) + flow.permute(0, 2, 3, 1)
    moved = F.grid_sample(
        images.flatten(1, 2),  # the frames of a clip are so many channels of it
        grid,
        mode="bicubic",  # bilinear sampling would teach blur
        padding_mode="reflection",
        align_corners=False,
    )
    return moved.view_as(images), _follow(landmarks, affine, flow, changes["order"])


def _follow(landmarks: Tensor, affine: Tensor, flow: Tensor, order: Tensor) -> Tensor:
    """Where the landmarks go when the image is sampled at affine(q) + flow(q): the q of each, by fixed point."""
    points = landmarks.unflatten(-1, (68, 2))
    points = points.gather(2, order[:, None, :, None].expand_as(points)).flatten(1, 2)  # (B, T 68, 2)
    points = points - affine[:, None, :, 2]
    inverse = F.pad(torch.linalg.inv_ex(affine[..., :2]).inverse, (0, 1))  # inv would wait for the device
    moved = _move(points, inverse)
    for _ in range(5):
        bent = F.grid_sample(flow, moved.unsqueeze(2), padding_mode="border", align_corners=False)
        moved = _move(points - bent[..., 0].transpose(1, 2), inverse)
    return moved.reshape(landmarks.shape)


def _move(points: Tensor, affine: Tensor) -> Tensor:
    """points (N, 2) or (B, N, 2), affine (B, 2, 3) -> (B, N, 2); a matrix product might round to TF32"""
    x, y, shift = affine.unsqueeze(1).unbind(-1)  # (B, 1, 2) each
    return points[..., :1] * x + points[..., 1:] * y + shift


def recolour(images: Tensor, changes: dict[str, Tensor]) -> Tensor:
    """images (B, T, 3, H, W): gamma, saturation, contrast, colour temperature, brightness, exchanged channels"""
    gamma, saturation, *gains, brightness = changes["colour"][..., None, None, None, None].unbind(1)
    gains = torch.cat(gains, dim=2)  # (B, 1, 3, 1, 1); each of the other numbers (B, 1, 1, 1, 1)
    images = (images / 2 + 0.5).clamp_(1e-4, 1).pow_(gamma)
    images = torch.lerp(images.mean(2, keepdim=True), images, saturation)
    # (images - 0.5) * gains + 0.5 + brightness, which images * 2 - 1 brings back to [-1, 1]
    images = torch.addcmul(2 * brightness - gains, images, 2 * gains).clamp_(-1, 1)
    return images.gather(2, changes["channels"][:, None, :, None, None].expand_as(images))
