"""A video of somebody, whose lips say other speech: heads move and eyes blink as they did (dubbing).

Each frame is its own example: its mouth is brought to rest and moved by the new speech, drawn by VG-net, and laid back
into that frame at its own resolution, below the nose alone. The video is decoded twice, to follow the face and to draw,
so that memory does not grow with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from animation.composition import Change, Light, lower_face_mask
from animation.original import is_original
from animation.stream import landmark_stream, rechunk
from animation.talking.faces import chooser, subject_of
from animation.talking.lips import at_rate
from animation.talking.networks import Networks
from animation.talking.shots import Shot, find_shots
from animation.talking.wish import Wish
from animation.views import Face, Moment
from models import VGNet
from utils.audio import FPS
from utils.errors import UserError, note
from utils.face.alignment import crop_face
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import TEMPLATE, denormalise, normalise, to_crop_size
from utils.media.images import to_network, to_tensor, to_uint8
from utils.media.playback import HELD, Recording
from utils.stopwatch import Stopwatch

CHUNK = 16  # frames that the networks make at a time, at most
SLOWLY = 0.9  # of the light of the frames before, in that of the next
Picture = tuple[int, np.ndarray]  # with its number in the recording


class VideoScene:
    """Somebody's video, with new speech of so many sound frames at 25 a second.

    first: its first picture's face; rate: of its frames; count: of the result's; aspect: of its pixels; faceless: how
    many frames of the result so far show no face to draw on and are as they were.
    """

    def __init__(
        self,
        networks: Networks,
        wish: Wish,
        sound_frames: int,
        clock: Stopwatch,
        watch: Callable[[Iterable, int], Iterable],
    ) -> None:
        """watch: gives back the frames in which a face is looked for, of about so many. Raises UserError."""
        at_net, vg_net, detector = networks[:3]
        if is_original(vg_net) or LandmarkBasis.of(at_net).space == "original":
            raise UserError(
                f"{wish.subject}: the original release's networks know photos alone; give a photo"
            )
        if wish.blink:
            note(f"{wish.subject}: its eyes blink as they did; --blink is for photos")
        self.networks, self.clock, self.hold = networks, clock, wish.hold
        self.recording, self.faceless = Recording(wish.person), 0
        self.size = vg_net.config["size"]
        self.rate = self.recording.rate
        self.count = int(-(-sound_frames * self.rate // FPS))
        with clock.stage("faces"):
            frames = clock.through("decode", self.recording.forwards(self.count))
            points = np.stack(list(detector.track_stream(watch(frames, self.count), choose=chooser(wish))))
            self.shots = find_shots(points, self.size)
        if not self.shots:
            seen = not np.isnan(points).all()
            why = "its face is too small or seen too shortly" if seen else "no face found"
            raise UserError(f"{wish.subject}: {why}; give a video that shows one from the front")
        self.shot_of = {frame: shot for shot in self.shots for frame in range(shot.start, shot.stop)}
        self.subjects = {
            shot.start: subject_of(at_net, denormalise(shot.face.rest, self.size), self.size)
            for shot in self.shots
        }
        # Frames that the networks make at a time, and again while others are drawn: fewer where they are large
        self.ahead = max(1, min(CHUNK, HELD // self.recording.picture_bytes))
        self.first = self._face(0, next(Recording(wish.person).forwards(1)))

    @property
    def aspect(self) -> Fraction | None:
        """Width over height of its pixels, where they are not square"""
        return self.recording.aspect

    def moments(self, windows: Iterable[np.ndarray]) -> Iterator[Moment]:
        """The frames, one by one, while the windows (k, ...) of the sound come in"""
        at_net, subject = self.networks.at_net, self.subjects[self.shots[0].start]
        heard = self.clock.through("AT-net", landmark_stream(at_net, subject, rechunk(windows, CHUNK)))
        moved = at_rate((piece - subject.rest for piece in heard), self.rate)
        pictures = self.clock.through("decode", self.recording.played(self.count, self.hold))
        light, state, before = None, None, None
        for shot, pairs in self._stretches(zip(pictures, moved, strict=False)):
            if shot is None:
                self.faceless += len(pairs)
                yield from (self._untouched(picture) for picture, _ in pairs)
                continue
            if shot is not before:
                light, state, before = None, None, shot
            faces = [self._face(*picture) for picture, _ in pairs]
            targets = np.stack([self._speaking(shot, picture[0], motion) for picture, motion in pairs])
            with self.clock.stage("VG-net"):
                lights = list(_lights(faces, light))
                light = lights[-1]
                moments, state = self._draw(faces, targets, lights, state)
            yield from moments

    def _stretches(self, pairs: Iterator[tuple[Picture, np.ndarray]]) -> Iterator[tuple[Shot | None, list]]:
        """Pictures with their motion (136,), in stretches of one shot, or of no face, of so many that memory allows"""
        while chunk := list(islice(pairs, self.ahead)):
            start = 0
            shots = [self.shot_of.get(picture[0]) for picture, _ in chunk]
            for end in range(1, len(chunk) + 1):
                if end == len(chunk) or shots[end] is not shots[start]:
                    yield shots[start], chunk[start:end]
                    start = end

    def _speaking(self, shot: Shot, number: int, motion: np.ndarray) -> np.ndarray:
        """The landmarks (136,) of a frame whose lips say what moves a face at rest by motion (136,)"""
        frame = number - shot.start
        own = shot.face.landmarks[frame].reshape(136)
        speaking = shot.face.speaking(frame, self.subjects[shot.start].rest - shot.face.rest + motion)
        return (own + shot.strength[frame] * (speaking - own)).astype(np.float32)

    def _draw(
        self, faces: list[Face], targets: np.ndarray, lights: list[Light], state: Tensor | None
    ) -> tuple[list[Moment], Tensor]:
        """Frames of one shot, their landmarks (T, 136) -> moments, and VG-net's state"""
        vg_net: VGNet = self.networks.vg_net
        device = next(vg_net.parameters()).device
        shown = np.stack([light.shown(face.crop) for face, light in zip(faces, lights, strict=True)])
        own = np.stack([normalise(face.landmarks, self.size) for face in faces])
        with torch.inference_mode():
            output = vg_net(
                to_network(to_tensor(shown)).to(device)[None],
                torch.from_numpy(targets).to(device)[None],
                torch.from_numpy(own).to(device)[None],
                state,
            )
        points, frames = denormalise(targets, self.size), to_uint8(output.frames[0])
        made = zip(points, frames, Change.of(output), faces, lights, strict=True)
        moments = [
            Moment(point, light.back(frame), change.under(light), face)
            for point, frame, change, face, light in made
        ]
        return moments, output.state

    def _face(self, number: int, picture: np.ndarray) -> Face:
        """The face of a picture, or of one without a face what views need"""
        shot = self.shot_of.get(number)
        if shot is None:
            near = min(self.shots, key=lambda one: min(abs(number - one.start), abs(number - one.stop)))
            transform = near.transforms[0 if number < near.start else -1]
            landmarks = to_crop_size(TEMPLATE, self.size)
        else:
            transform = shot.transforms[number - shot.start]
            landmarks = denormalise(shot.face.landmarks[number - shot.start].reshape(136), self.size)
        mask = lower_face_mask(landmarks, self.size)
        return Face(picture, transform, crop_face(picture, transform, self.size), landmarks, None, mask)

    def _untouched(self, picture: Picture) -> Moment:
        face = self._face(*picture)
        return Moment(np.full((68, 2), np.nan, np.float32), face.crop, None, face)


def _lights(faces: list[Face], last: Light | None) -> Iterator[Light]:
    """Their light, which changes slowly, since frame by frame it would flicker"""
    for face in faces:
        now = Light.of(face.crop)
        if last is not None:
            now = Light(SLOWLY * last.gain + (1 - SLOWLY) * now.gain, last.grey)
        last = now
        yield now
