"""From a wish to its files, all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from torch import nn

from animation.composition import Change
from animation.heads.motion import LEARNED
from animation.original import is_original
from animation.stream import audio_windows, sound_frames
from animation.talking.networks import Networks
from animation.talking.photos import PhotoScene
from animation.talking.posed import PosedScene
from animation.talking.videos import VideoScene
from animation.talking.wish import Wish
from animation.views import Moment, choose_views, planned_files
from models import NRNet, RhythmicNet, WhisperATNet
from utils.ahead import ahead
from utils.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from utils.audio.raw_speech import SPEECH_RATE, Loudness, SpeechWindows
from utils.errors import UserError
from utils.files import replacing, replacing_together, writable_folder
from utils.media.kinds import is_video
from utils.media.read import stream_audio
from utils.media.write import VideoWriter
from utils.progress import Watch, unwatched
from utils.stopwatch import Stopwatch

SOUND_RATE = 48000  # of the video's sound track; the networks hear SAMPLE_RATE
GENERATED = "Generated: a machine made this face speak (talking faces, ATVGnet)"


class Made(NamedTuple):
    """The files of a wish, its frames, and how many of them show no face and stayed as they were."""

    files: list
    frames: int
    faceless: int


def talk(networks: Networks, wish: Wish, watch: Watch = unwatched, clock: Stopwatch | None = None) -> Made:
    """Makes what is wished for. watch: gives back the frames of each stage that takes time, to count or to stop them.

    All of it or nothing. Raises UserError where the person or the speech cannot be used, where the files cannot be
    written, and where another process writes the same.
    """
    clock = clock or Stopwatch()
    wish.check_places()
    sound = count_sound_frames(wish.speech)
    wish = moving(wish, networks)
    posed = isinstance(networks.vg_net, RhythmicNet)
    still = wish.moves or not (wish.person and is_video(wish.person))
    kind = PosedScene if posed else PhotoScene if still else VideoScene
    scene = kind(networks, wish, sound, clock, lambda frames, count: watch("faces", frames, count))
    writable_folder(wish.folder)
    windows = clock.through("sound", listen(wish, networks.at_net))
    with (
        replacing_together(wish.folder / wish.name),
        closing(ahead(scene.moments(windows), scene.ahead)) as moments,
    ):
        files = write_results(wish, scene, watch("frames", moments, scene.count), clock)
    return Made(files, scene.count, scene.faceless)


def moving(wish: Wish, networks: Networks) -> Wish:
    """With its head's motion told where it was left open: photos move, where there is a network for it

    Raises UserError for a video beside other pictures.
    """
    videos = [one for one in (wish.person, *wish.others) if one and wish.others and is_video(one)]
    if videos:
        raise UserError(f"{videos[0]}: a video beside other pictures; give one video, or photos alone")
    if wish.head_motion is not None:
        return wish
    photo = isinstance(networks.vg_net, RhythmicNet) or not (wish.person and is_video(wish.person))
    able = networks.head_motion is not None and not is_original(networks.vg_net)
    return replace(wish, head_motion=LEARNED) if photo and able else wish


def count_sound_frames(path) -> int:
    """25ths of a second of sound. Raises UserError where the sound is too short for a single one."""
    samples = sum(len(block) for block in stream_audio(path))
    if samples < SAMPLES_PER_FRAME:
        raise UserError(
            f"{path}: its {1000 * samples / SAMPLE_RATE:.0f} ms of sound do not fill one video frame"
        )
    return -(-samples // SAMPLES_PER_FRAME)


def listen(wish: Wish, at_net: nn.Module) -> Iterator[np.ndarray]:
    """The sound as windows (k, ...) that the network takes, one a frame, piece by piece

    An NR-net hears raw speech of one loudness, for which the file is read once before; a WhisperATNet rows of sound.
    """
    path = wish.speech
    if isinstance(at_net, WhisperATNet):
        return sound_frames(stream_audio(path))
    if not isinstance(at_net, NRNet):
        return audio_windows(stream_audio(path))
    gain = Loudness.of(stream_audio(path, SPEECH_RATE)).gain(at_net.config["level"])
    return audio_windows(stream_audio(path, SPEECH_RATE, SPEECH_RATE), SpeechWindows(gain))


def write_results(
    wish: Wish, scene: PhotoScene | VideoScene, moments: Iterable[Moment], clock: Stopwatch
) -> list:
    """Writes what the wish asks for, and says which files."""
    views = choose_views(wish, scene.first)
    still = Moment(scene.first.landmarks, scene.first.crop, Change.none(len(scene.first.crop)), scene.first)
    track, landmarks = sound_track(wish, scene.rate), []
    with ExitStack() as stack:
        if wish.save_landmarks:
            landmarks_part = stack.enter_context(replacing(wish.files[-1]))
        videos = []
        for path, draw in views.items():
            size = draw(still).shape[1::-1]
            aspect = scene.aspect if path == planned_files(wish).get("whole") else None
            writer = VideoWriter(path, size, scene.rate, audio=SOUND_RATE, comment=GENERATED, aspect=aspect)
            videos.append((stack.enter_context(writer), draw))
        for moment in moments:
            sound = next(track, np.zeros(0, np.float32))
            for video, draw in videos:
                with clock.stage("draw"):
                    picture = draw(moment)
                with clock.stage("encode"):
                    video.write(picture)
                    video.write_audio(sound)
            clock.mark()
            if wish.save_landmarks:
                landmarks.append(moment.landmarks)
        for sound in track:  # what rounding to another rate may have left
            for video, _ in videos:
                video.write_audio(sound)
        if wish.save_landmarks:
            np.save(landmarks_part, np.stack(landmarks))
    return wish.files


def sound_track(wish: Wish, rate: Fraction) -> Iterator[np.ndarray]:
    """The sound for the result, piece by piece, one for each of its frames"""
    waiting, made, given = np.zeros(0, np.float32), 0, 0
    for block in stream_audio(wish.speech, SOUND_RATE):
        waiting = np.concatenate([waiting, block])
        while len(waiting) >= (length := int((made + 1) * SOUND_RATE / rate) - given):
            yield waiting[:length]
            waiting, made, given = waiting[length:], made + 1, given + length
    if len(waiting):
        yield waiting
