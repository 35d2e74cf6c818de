"""A photo that speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import repeat

import numpy as np

from animation.blinks import blink_stream
from animation.composition import Change, Light
from animation.heads.motion import LEARNED, given_motion, learned_motion
from animation.heads.references import best_pictures, check_turn, unfitness
from animation.heads.turning import landmarks_in_picture, turned_landmarks
from animation.original import is_original
from animation.stream import frame_stream, landmark_stream, rechunk
from animation.talking.faces import chooser, find_subject
from animation.talking.networks import Networks
from animation.talking.wish import Wish
from animation.views import Face, Moment
from utils.audio import FPS
from utils.errors import UserError
from utils.face.pose import fit_pose
from utils.media.images import read_photo, to_network, to_tensor, to_uint8
from utils.media.kinds import is_video
from utils.stopwatch import Stopwatch

CHUNK, FIRST = 16, 4  # frames that the networks make at a time, and the first time, for which people wait


def default_photo() -> np.ndarray:
    """NASA's portrait of the astronaut Eileen Collins, in the public domain, as scikit-image carries it."""
    from skimage.data import astronaut

    return astronaut()


def best_faces(
    networks: Networks, wish: Wish, watch: Callable[[Iterable, int], Iterable], most: int
) -> list[Face]:
    """The face that speaks, and others of the same person, up to so many in all

    Of the photo; of several photos, or of a video, first that whose head can be moved best.
    """
    if wish.person and is_video(wish.person):
        choose = chooser(wish)
        pictures = best_pictures(wish.person, networks.detector, choose, watch, most)
        return [find_subject(picture, networks, wish, choose) for picture in pictures]
    if not wish.person:
        return [find_subject(default_photo(), networks, wish)]
    wishes = [replace(wish, person=path) for path in (wish.person, *wish.others)]
    faces = [find_subject(read_photo(one.person), networks, one) for one in wishes]
    faces.sort(key=lambda face: unfitness(landmarks_in_picture(face.landmarks, face.transform)))
    return faces[:most]


class PhotoScene:
    """Somebody's photo. first: its face."""

    rate = Fraction(FPS)
    faceless = 0  # frames
    aspect = None
    ahead = CHUNK  # frames that are made while others are drawn and encoded
    most = 1  # pictures of the person that are of use

    def __init__(
        self,
        networks: Networks,
        wish: Wish,
        sound_frames: int,
        clock: Stopwatch,
        watch: Callable[[Iterable, int], Iterable],
    ) -> None:
        """watch: gives back the pictures of a video in which a face is looked for. Raises UserError."""
        self.networks, self.clock, self.count = networks, clock, sound_frames
        self.blinks = wish.blink_seed if wish.blink is not False else None
        with clock.stage("faces"):
            self.first, *self.others = best_faces(networks, wish, watch, self.most)
            self.pose = fit_pose(self.first.landmarks[None])
            self.motion = self._motion(wish, watch) if wish.moves else repeat(None)

    def _motion(self, wish: Wish, watch: Callable[[Iterable, int], Iterable]) -> Iterator[np.ndarray]:
        """Of the head, (6,) frame by frame"""
        if is_original(self.networks.vg_net):
            raise UserError(
                "--head_motion: the original release's networks keep heads still; give --head_motion none"
            )
        check_turn(self.first.landmarks, wish.subject)
        if wish.head_motion == LEARNED:
            return learned_motion(self.networks.head_motion, wish.speech, wish.seed, wish.motion_scale)
        return given_motion(wish.motion_file, self.networks.detector, wish.motion_scale, self.count, watch)

    def _landmarks(self, windows: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """What the face does, (k, 136) piece by piece, blinks and all, while its head stands still"""
        pieces = landmark_stream(self.networks.at_net, self.first.subject, rechunk(windows, CHUNK))
        landmarks = rechunk(self.clock.through("AT-net", pieces), CHUNK, FIRST)
        return landmarks if self.blinks is None else blink_stream(landmarks, self.blinks)

    def moments(self, windows: Iterable[np.ndarray]) -> Iterator[Moment]:
        """The frames, one by one, while the windows (k, ...) of the sound come in"""
        vg_net, face, clock = self.networks.vg_net, self.first, self.clock
        light = Light(1.0, False) if is_original(vg_net) else Light.of(face.crop)
        image = to_network(to_tensor(light.shown(face.crop))).to(next(vg_net.parameters()).device)
        drawn = frame_stream(vg_net, image, face.subject.example_landmarks, self._landmarks(windows))
        for piece, output in clock.through("VG-net", drawn):
            points = face.subject.pixels(piece, vg_net.config["size"])
            changes = [change.under(light) for change in Change.of(output)]
            frames = light.back(to_uint8(output.frames[0]))
            for point, frame, change in zip(points, frames, changes, strict=True):
                yield self._moved(Moment(point, frame, change, face, next(self.motion, None)))

    def _moved(self, moment: Moment) -> Moment:
        """With its landmarks where the head's motion takes them"""
        if moment.motion is None:
            return moment
        points = turned_landmarks(moment.landmarks[None], self.pose, moment.motion[None])[0]
        return moment._replace(landmarks=points)
