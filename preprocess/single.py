"""One video, as it comes, as a clip of a fixed crop, for what draws or measures it without a store."""

from __future__ import annotations

from pathlib import Path

from data.store import STATIC
from data.store_writer import ClipArrays
from preprocess.making.clip import Crop, RawClip
from preprocess.making.pieces import read_pieces
from utils.errors import UserError
from utils.face.detector import FaceDetector
from utils.media.read import open_media

PNG = 101  # quality: nothing is lost


def read_single(
    video: Path, size: int, seconds: float, sound: Path | None = None, landmarks: Path | None = None
) -> ClipArrays:
    """The first stretch of at most so many seconds that shows a face, crops of `size` pixels

    sound: in place of the video's own; a video that has none is silent. landmarks: (T, 68, 2) in a .npy file, in place
    of dlib's. Raises UserError where there is no such stretch.
    """
    with open_media(video, "video") as container:
        mute = sound is None and not container.streams.audio
    clip = RawClip(video.stem, video, video.name, sound=sound, mute=mute, landmarks=landmarks)
    crop, reason = Crop(size, quality=PNG, kind=STATIC, seconds=seconds), "has no frames"
    for _, made in read_pieces(clip, crop, None if landmarks else FaceDetector()):
        if not isinstance(made, str):
            return made
        reason = made
    raise UserError(f"{video}: {reason}; use a video that shows a face from the front")
