"""Every reader of files that somebody else may have made, with small whole files of its kinds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
from PIL import Image

import demo
from animation.heads.motion import read_motion
from animation.talking.jobs import read_jobs
from data.heads.poses import PoseStore, write_poses
from data.splits import read_split
from data.store import ClipStore, check
from models import ATNet, NRNet, VGNet, load_model, save_model
from tests.heads import REST, smooth_motion
from tests.synthetic import make_basis, make_store
from tests.training.test_state_files import CPU
from tests.training.test_state_files import run as state_of
from utils.align import read_align
from utils.errors import UserError
from utils.face.basis import LandmarkBasis
from utils.face.mean_face import MEAN_FACE
from utils.face.pose import pose_of
from utils.media.images import read_photo
from utils.media.playback import Recording
from utils.media.read import read_audio, read_video


class Reader(NamedTuple):
    """make: a folder -> whole files in it; read: reads one, or raises UserError"""

    make: Callable[[Path], list[Path]]
    read: Callable[[Path], object]


def photos(folder: Path) -> list[Path]:
    noise = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
    picture, made = Image.fromarray(noise), []
    for suffix in "png jpg webp gif bmp tif ppm tga ico jp2 avif pcx sgi".split():
        path = folder / f"a.{suffix}"
        try:
            picture.save(path)
        except (KeyError, ValueError, OSError):  # this Pillow does not write it
            path.unlink(missing_ok=True)
            continue
        made.append(path)
    return made


def sounds(folder: Path) -> list[Path]:
    noise, made = np.random.default_rng(0).normal(0, 0.1, (1, 4800)).astype(np.float32), []
    kinds = {
        "wav": "pcm_s16le",
        "flac": "flac",
        "ogg": "libopus",
        "mp3": "libmp3lame",
        "m4a": "aac",
        "mka": "ac3",
    }
    for suffix, codec in kinds.items():
        path = folder / f"a.{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=48000, layout="mono")
            resampler = av.AudioResampler(stream.format, "mono", 48000, frame_size=stream.frame_size or None)
            frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
            frame.sample_rate = 48000
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
        made.append(path)
    return made


def videos(folder: Path) -> list[Path]:
    made = []
    kinds = {
        "mp4": "libx264",
        "mkv": "libx264",
        "mpg": "mpeg1video",
        "avi": "mpeg4",
        "webm": "libvpx",
        "mov": "mjpeg",
    }
    for suffix, codec in kinds.items():
        path = folder / f"a.{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = 48, 32
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for number in range(8):
                picture = np.full((32, 48, 3), 20 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        made.append(path)
    return made


def watch(path: Path) -> None:
    """A video by both readers, of which one wants it whole, and the other takes what there is"""
    errors = []
    for read in (lambda: list(read_video(path)), lambda: list(Recording(path).played(20))):
        try:
            read()
        except Exception as error:
            errors.append(error)
    if errors:
        raise next((one for one in errors if "UserError" not in repr(type(one))), errors[0])


def stores(folder: Path) -> list[Path]:
    return [make_store(folder / "store.h5")]


def read_store(path: Path) -> None:
    """All clips, as training reads them, and then as --check does"""
    with redirect_stdout(StringIO()):
        try:
            store = ClipStore(path)
            for clip in store:
                clip.frames(), clip.landmarks, clip.source_landmarks, clip.transforms, clip.audio, clip.mfcc
                clip.speaker, clip.transcript, clip.source, clip.source_size, clip.split, clip.metadata  # noqa: B018
            store.close()
        except UserError:
            check(path)  # which must find something too
            raise RuntimeError("the check finds nothing") from None
        check(path)


def weights(folder: Path) -> list[Path]:
    torch.manual_seed(0)
    small = dict(channels=(4, 4, 4, 4, 4), audio_features=(8, 8), example_features=(8, 8), hidden=8, layers=1)
    networks = {"at": ATNet(**small), "vg": VGNet(width=4, blocks=1), "nr": NRNet(filters=2)}
    for name, network in networks.items():
        save_model(folder / f"{name}.safetensors", network)
    return [folder / f"{name}.safetensors" for name in networks]


def read_weights(path: Path) -> None:
    for name, value in load_model(path).state_dict().items():
        if not value.isfinite().all():
            raise RuntimeError(f"{name} is not finite")


def states(folder: Path) -> list[Path]:
    state_of(folder / "a_state.pt", trained=True).save(7)
    return [folder / "a_state.pt"]


def read_state(path: Path) -> None:
    """A step of training from there"""
    later = state_of(path)
    later.load(CPU)
    model, optimiser = later.parts["model"], later.parts["optimiser"]
    model(torch.ones(1, 1, 28, 12)).sum().backward()
    optimiser.step()
    later.average.update(model, 1)
    if not all(weight.isfinite().all() for weight in model.parameters()):
        raise RuntimeError("weights that are not finite")


def texts(folder: Path) -> list[Path]:
    (folder / "a.align").write_text("0 1000 sil\n1000 2500 bin\n2500 4000 blue\n4000 5000 sil\n")
    (folder / "test.txt").write_text("s1/bbaf2n\ns1/bbaf3s\ns2/lwae8n\n")
    (folder / "jobs.csv").write_text('photo,audio,name,size\na.png,b.wav,one,128\n,"c,d.wav",two,\n')
    return [folder / name for name in ("a.align", "test.txt", "jobs.csv")]


def read_text(path: Path) -> None:
    if path.suffix == ".align":
        read_align(path)
    elif path.suffix == ".txt":
        read_split(path)
    else:
        columns = {name for name in vars(demo.parse_args([])) if name not in demo.NO_COLUMNS}
        read_jobs(path, lambda words: demo.parse_args(words), columns)


def bases(folder: Path) -> list[Path]:
    make_basis().save(folder / "a_pca.npz")
    return [folder / "a_pca.npz"]


def heads(folder: Path) -> list[Path]:
    """Poses of a store, and head motion for the demo"""
    clips = {
        name: (pose_of(smooth_motion(12, seed), REST), MEAN_FACE)
        for seed, name in enumerate(("s1/a", "s2/b"))
    }
    write_poses(folder / "a_pose.h5", clips)
    np.save(folder / "a.npy", smooth_motion(20, 3))
    return [folder / "a_pose.h5", folder / "a.npy"]


def read_head(path: Path) -> None:
    if path.suffix == ".npy":
        read_motion(path)
        return
    poses = PoseStore(path)
    for id in poses.ids:
        poses.motion(id), poses.face(id)


READERS = {
    "photo": Reader(photos, read_photo),
    "sound": Reader(sounds, lambda path: read_audio(path)),
    "video": Reader(videos, watch),
    "store": Reader(stores, read_store),
    "weights": Reader(weights, read_weights),
    "state": Reader(states, read_state),
    "basis": Reader(bases, LandmarkBasis.load),
    "text": Reader(texts, read_text),
    "heads": Reader(heads, read_head),
}


def _trial(path: Path) -> None:
    """Ends badly with its second file, as FUZZ_TRIAL says: what tests the fuzzer"""
    if path.stem == "damaged1":
        if os.environ["FUZZ_TRIAL"] == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        if os.environ["FUZZ_TRIAL"] == "hangs":
            time.sleep(3600)
        raise RuntimeError("unforeseen")


if "FUZZ_TRIAL" in os.environ:
    READERS["trial"] = Reader(texts, _trial)
