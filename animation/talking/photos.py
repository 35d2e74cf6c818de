"""A photo that speaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from animation.blinks import blink_stream
from animation.composition import Change, Light
from animation.original import is_original
from animation.stream import frame_stream, landmark_stream, rechunk
from animation.talking.faces import find_subject
from animation.talking.networks import Networks
from animation.talking.wish import Wish
from animation.views import Moment
from utils.audio import FPS
from utils.media.images import read_photo, to_network, to_tensor, to_uint8
from utils.stopwatch import Stopwatch

CHUNK, FIRST = 16, 4  # frames that the networks make at a time, and the first time, for which people wait


def default_photo() -> np.ndarray:
    """NASA's portrait of the astronaut Eileen Collins, in the public domain, as scikit-image carries it."""
    from skimage.data import astronaut

    return astronaut()


class PhotoScene:
    """Somebody's photo. first: its face."""

    rate = Fraction(FPS)
    faceless = 0  # frames
    aspect = None
    ahead = CHUNK  # frames that are made while others are drawn and encoded

    def __init__(self, networks: Networks, wish: Wish, sound_frames: int, clock: Stopwatch) -> None:
        self.networks, self.clock, self.count = networks, clock, sound_frames
        self.blinks = wish.blink_seed if wish.blink is not False else None
        with clock.stage("faces"):
            photo = read_photo(wish.person) if wish.person else default_photo()
            self.first = find_subject(photo, networks, wish)

    def moments(self, windows: Iterable[np.ndarray]) -> Iterator[Moment]:
        """The frames, one by one, while the windows (k, ...) of the sound come in"""
        (at_net, vg_net, _), face, clock = self.networks, self.first, self.clock
        light = Light(1.0, False) if is_original(vg_net) else Light.of(face.crop)
        image = to_network(to_tensor(light.shown(face.crop))).to(next(vg_net.parameters()).device)
        heard = clock.through("AT-net", landmark_stream(at_net, face.subject, rechunk(windows, CHUNK)))
        landmarks = rechunk(heard, CHUNK, FIRST)
        landmarks = landmarks if self.blinks is None else blink_stream(landmarks, self.blinks)
        drawn = frame_stream(vg_net, image, face.subject.example_landmarks, landmarks)
        for piece, output in clock.through("VG-net", drawn):
            points = face.subject.pixels(piece, vg_net.config["size"])
            changes = [change.under(light) for change in Change.of(output)]
            frames = light.back(to_uint8(output.frames[0]))
            for point, frame, change in zip(points, frames, changes, strict=True):
                yield Moment(point, frame, change, face)
