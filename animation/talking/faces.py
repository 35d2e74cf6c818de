"""Whose face it is: a photo's, cropped as the networks know faces; of several, the one that was asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import nn

from animation.original import OriginalSubject, original_transform
from animation.stream import Subject
from animation.talking.networks import Networks
from animation.talking.wish import Wish
from animation.views import Face
from animation.whole_faces import WholeFaceSubject
from utils.errors import UserError, note
from utils.face.alignment import apply_transform, crop_face, crop_transforms
from utils.face.basis import LandmarkBasis
from utils.face.detector import Box, find_face

MOST_LISTED = 6  # faces, in a message


class ChoiceError(UserError):
    """There is no such face"""


def find_subject(
    photo: np.ndarray, networks: Networks, wish: Wish, choose: Callable[[list[Box]], Box] | None = None
) -> Face:
    """The photo's face that `wish` asks for, the largest by default. Raises UserError where there is none.

    choose: the wish's own `chooser`, where it has been used before, which says but once that there are several.
    """
    try:
        found, _ = find_face(photo, networks.detector, choose or chooser(wish))
    except ChoiceError:
        raise
    except UserError as error:
        raise UserError(f"{wish.subject}: {error}") from None
    at_net, size = networks.at_net, networks.vg_net.config["size"]
    original = LandmarkBasis.of(at_net).space == "original"
    transform = original_transform(found, size) if original else crop_transforms(found[None], size)[0]
    landmarks = apply_transform(transform, found)
    return Face(
        photo, transform, crop_face(photo, transform, size), landmarks, subject_of(at_net, landmarks, size)
    )


def subject_of(at_net: nn.Module, landmarks: np.ndarray, size: int) -> Subject:
    """Somebody's landmarks (68, 2) in crop pixels, in the terms of this network"""
    basis = LandmarkBasis.of(at_net)
    if basis.space == "face":
        return WholeFaceSubject(at_net, landmarks, size)
    return OriginalSubject(basis) if basis.space == "original" else Subject.from_crop(basis, landmarks, size)


def chooser(wish: Wish) -> Callable[[list[Box]], Box]:
    """What takes one of the boxes (left, top, right, bottom), the largest first, and says so where there are several

    It raises ChoiceError, which lists them, where there is no face of that number, or none at that place.
    """

    told = False

    def choose(boxes: list[Box]) -> Box:
        nonlocal told
        wanted = 1 if wish.face is None else wish.face
        if isinstance(wanted, int):
            chosen = boxes[wanted - 1] if wanted <= len(boxes) else None
        else:
            chosen = next((box for box in boxes if _holds(box, wanted)), None)
        if chosen is None:
            asked = f"number {wanted}" if isinstance(wanted, int) else f"at {wanted[0]:.0f},{wanted[1]:.0f}"
            raise ChoiceError(
                f"{wish.subject}: no face {asked}; there {_listed(boxes)}; choose one with --face"
            )
        if wish.face is None and len(boxes) > 1 and not told:
            told = True
            others = f"there {_listed(boxes)}; --face 2 takes another"
            note(f"{wish.subject}: {len(boxes)} faces, taking the largest; {others}")
        return chosen

    return choose


def _holds(box: Box, place: tuple[float, float]) -> bool:
    return box[0] <= place[0] <= box[2] and box[1] <= place[1] <= box[3]


def _listed(boxes: list[Box]) -> str:
    places = [
        f"{number} at x {left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f}"
        for number, (left, top, right, bottom) in enumerate(boxes[:MOST_LISTED], 1)
    ]
    more = f" and {len(boxes) - MOST_LISTED} more" if len(boxes) > MOST_LISTED else ""
    return f"{'is' if len(boxes) == 1 else 'are'} {', '.join(places)}{more}"
