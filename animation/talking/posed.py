"""A photo that speaks, drawn by the renderer of rhythmic head motion from one or more pictures of the person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from animation.composition import Light, fit_for_video
from animation.heads.rendered import Layers, RenderedHead
from animation.heads.turning import landmarks_in_picture, turned_landmarks
from animation.talking.networks import Networks
from animation.talking.photos import PhotoScene
from animation.talking.wish import Wish
from animation.views import Face, Moment
from models.head3d.head import Head
from models.rhythmic.person import Person
from utils.face.alignment import apply_transform, crop_face, static_transform
from utils.face.pose import fit_pose, pose_of
from utils.media.images import to_network, to_tensor, to_uint8
from utils.stopwatch import Stopwatch


class StillCrop(NamedTuple):
    """A picture of the person, cut as the renderer knows pictures: transform (2, 3) from the picture to the crop"""

    photo: np.ndarray
    transform: np.ndarray
    landmarks: np.ndarray  # (68, 2), pixels of the picture
    size: int

    @classmethod
    def of(cls, face: Face, size: int) -> StillCrop:
        landmarks = landmarks_in_picture(face.landmarks, face.transform)
        transform = static_transform(landmarks[None], size, face.photo.shape[1::-1])
        return cls(face.photo, transform, landmarks, size)

    def head(self, light: Light) -> Head:
        """As the network sees it"""
        shown = light.shown(crop_face(self.photo, self.transform, self.size))
        landmarks = apply_transform(self.transform, self.landmarks)
        return Head(to_network(to_tensor(shown)), landmarks, fit_pose(landmarks[None]))


class PosedScene(PhotoScene):
    """As `PhotoScene`, but the network draws the whole head, in its pose, from all pictures of the person."""

    most = 8  # references

    def __init__(
        self,
        networks: Networks,
        wish: Wish,
        sound_frames: int,
        clock: Stopwatch,
        watch: Callable[[Iterable, int], Iterable],
    ) -> None:
        super().__init__(networks, wish, sound_frames, clock, watch)
        network, size = networks.vg_net, networks.vg_net.config["size"]
        photo, transform = fit_for_video(self.first.photo, self.first.transform)
        self.first = self.first._replace(photo=photo, transform=transform)
        self.light = Light.of(self.first.crop)
        crops = [StillCrop.of(face, size) for face in (self.first, *self.others)]
        self.crop, others = crops[0], [(one.photo, one.transform) for one in crops[1:]]
        self.person = Person(network, [one.head(self.light) for one in crops], key=0)
        self.drawing = RenderedHead(photo, self.crop.transform, self.crop.landmarks, size, others)

    def moments(self, windows: Iterable[np.ndarray]) -> Iterator[Moment]:
        """The frames, one by one, while the windows (k, ...) of the sound come in"""
        face, clock = self.first, self.clock
        for piece in self._landmarks(windows):
            points = face.subject.pixels(piece, len(face.crop))
            still = np.zeros(6, np.float32)
            motion = np.stack([still if one is None else one for one in islice(self.motion, len(piece))])
            with clock.stage("renderer"):
                frames, layers = self._draw(points, motion)
            shown = turned_landmarks(points, self.pose, motion)
            for point, frame, layer, moved in zip(shown, frames, layers, motion, strict=True):
                with clock.stage("draw"):
                    picture = self.drawing(layer, moved)
                yield Moment(point, frame, None, face, moved, picture)

    def _draw(self, points: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, list[Layers]]:
        """points (k, 68, 2) of the aligned crop, head motion (k, 6) -> the network's frames, and their layers"""
        photo = np.stack([landmarks_in_picture(one, self.first.transform) for one in points])
        rest, pose = self.person.key.rest, pose_of(motion, self.person.key.rest)
        asked = turned_landmarks(apply_transform(self.crop.transform, photo), rest, motion)
        output = self.person.draw(asked, pose)
        layers = Layers.of(output, self.person.chosen, not self.networks.vg_net.config["spade_combine"])
        frames = self.light.back(to_uint8(output.frames))
        return frames, [layer._replace(raw=self.light.back(layer.raw)) for layer in layers]
