"""One photo and one recording in, a talking face out.

    python demo.py                                            the default photo and speech -> results/demo.mp4
    python demo.py -p PHOTO -i AUDIO -sample_dir DIR -s NAME  any image, any audio or video file -> DIR/NAME.mp4
    python demo.py -size 256                                  the face alone, 256 x 256; --crop: the network's 128 x 128
    python demo.py --panel --paste_back --save_landmarks      more views of the same face, beside NAME.mp4
    python demo.py -at_model weights/atnet.safetensors        landmarks by the paper's AT-net, or by an NR-net's weights
    python demo.py --blink off                                eyes that stay as the photo has them

NAME.mp4 is the whole photo, speaking, at its own resolution. It is as long as the sound; memory does not grow with it.
Flags take one dash or two.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from animation.blinks import blink_stream
from animation.composition import Change, Light
from animation.original import OriginalSubject, check_pair, is_original, original_transform
from animation.stream import (
    Subject,
    audio_windows,
    frame_stream,
    landmark_stream,
    rechunk,
    sound_frames,
)
from animation.views import Face, Moment, choose_views
from animation.whole_faces import WholeFaceSubject
from models import ATNet, ATNetSingle, NRNet, VGNet, WhisperATNet, load_model
from models.layers import fold_norms
from utils.audio import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from utils.audio.raw_speech import SPEECH_RATE, Loudness, SpeechWindows
from utils.cli import add_device_flags, add_flag, add_number, add_switch, parser, pick_device
from utils.errors import UserError, note, run
from utils.face.alignment import apply_transform, crop_face, crop_transforms
from utils.face.basis import LandmarkBasis
from utils.face.detector import FaceDetector, find_face
from utils.files import replacing, writable_folder
from utils.media.images import read_photo, to_network, to_tensor, to_uint8
from utils.media.read import sound_length, stream_audio
from utils.media.write import VideoWriter

ROOT = Path(__file__).parent
SOUND_RATE = 48000  # of the video's sound track; the networks hear SAMPLE_RATE
CHUNK = 16  # frames that the networks make at a time


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags: ArgumentParser = parser(__doc__)
    add_flag(
        flags,
        "person",
        "-p",
        "-photo",
        "--photo",
        type=Path,
        help="photo of a face (default: scikit-image's astronaut)",
    )
    add_flag(
        flags, "in_file", "-i", type=Path, default=ROOT / "audio/speech.wav", help="any audio or video file"
    )
    add_flag(
        flags,
        "sample_dir",
        type=Path,
        default=Path("results"),
        help="folder of the results (default results)",
    )
    add_flag(flags, "save_name", "-s", default="demo", help="name of the results (default demo)")
    add_flag(
        flags,
        "at_model",
        type=Path,
        default=ROOT / "weights/atnet_whisper.safetensors",
        help="weights of the network that hears: an AT-net on Whisper's features (default), the paper's AT-net "
        "(weights/atnet.safetensors) or an NR-net (weights/nrnet.safetensors)",
    )
    add_flag(
        flags, "vg_model", type=Path, default=ROOT / "weights/vgnet.safetensors", help="VG-net's weights"
    )
    add_switch(
        flags, "lstm", None, "insist on an AT-net with (or without) LSTM; the weights say which theirs is"
    )
    add_switch(flags, "blink", True, "blink now and then (default), or off")
    add_number(flags, "blink_seed", 8, "another number is other times to blink", least=0)
    add_switch(flags, "crop", False, "NAME.mp4 is the face alone, as the network makes it")
    pixels = "NAME.mp4 is the face alone, at so many pixels a side (the network's are 128)"
    add_number(flags, "size", None, pixels, least=32, below=3073, kind=int)
    add_switch(flags, "panel", False, "also NAME_panel.mp4: landmarks, attention, motion, result")
    both = "NAME.mp4 is the face alone, and NAME_full.mp4 the whole photo"
    add_switch(flags, "paste_back", False, both)
    add_switch(flags, "save_landmarks", False, "also NAME_landmarks.npy: (T, 68, 2), pixels of the crop")
    add_device_flags(flags)
    return flags.parse_args(argv)


def main(args: Namespace) -> None:
    if Path(args.save_name).name != args.save_name:
        raise UserError(f"-s {args.save_name}: a name without folders; the folder goes to -sample_dir")
    check_sound(args.in_file)
    photo = read_photo(args.person) if args.person else default_photo()
    at_net, vg_net = load_networks(args)
    face = find_subject(photo, str(args.person or "the default photo"), at_net, vg_net.config["size"])
    blinks = args.blink_seed if args.blink else None
    moments = speak(at_net, vg_net, face, listen(args.in_file, at_net), blinks)
    writable_folder(args.sample_dir)
    expected = round(sound_length(args.in_file) * FPS) or None
    written = write_results(args, face, tqdm(moments, total=expected, unit=" frames"))
    print("\n".join(str(path) for path in written))


def check_sound(path: Path) -> None:
    """Raises UserError where the sound is too short for a single frame."""
    first = next(stream_audio(path))
    if len(first) < SAMPLES_PER_FRAME:
        raise UserError(
            f"{path}: its {1000 * len(first) / SAMPLE_RATE:.0f} ms of sound do not fill one video frame"
        )


def listen(path: Path, at_net: nn.Module) -> Iterator[np.ndarray]:
    """The sound as windows (k, ...) that the network takes, one a frame, piece by piece

    An NR-net hears raw speech of one loudness, for which the file is read once before; a WhisperATNet rows of sound.
    """
    if isinstance(at_net, WhisperATNet):
        return sound_frames(stream_audio(path))
    if not isinstance(at_net, NRNet):
        return audio_windows(stream_audio(path))
    gain = Loudness.of(stream_audio(path, SPEECH_RATE)).gain(at_net.config["level"])
    return audio_windows(stream_audio(path, SPEECH_RATE, SPEECH_RATE), SpeechWindows(gain))


def default_photo() -> np.ndarray:
    """NASA's portrait of the astronaut Eileen Collins, in the public domain, as scikit-image carries it."""
    from skimage.data import astronaut

    return astronaut()


def load_networks(args: Namespace) -> tuple[nn.Module, VGNet]:
    device = pick_device(args.cuda, args.device_ids)
    at_net = load_model(args.at_model, device, expect=(ATNet, ATNetSingle, WhisperATNet, NRNet))
    if args.lstm is not None and args.lstm != isinstance(at_net, ATNet):
        kind = "has no LSTM" if args.lstm else "is the one with LSTM"
        raise UserError(
            f"{args.at_model}: this {type(at_net).__name__} {kind}; leave -lstm out or give other weights"
        )
    if not at_net.landmark_components.any():
        raise UserError(
            f"{args.at_model}: holds no landmark basis; convert the original's weights with --pca"
        )
    vg_net = load_model(args.vg_model, device, expect=VGNet)
    check_pair(at_net, vg_net, args.at_model, args.vg_model)
    return at_net, fold_norms(vg_net).to(memory_format=torch.channels_last)


def find_subject(photo: np.ndarray, name: str, at_net: nn.Module, size: int) -> Face:
    """The largest face of the photo, cropped as the networks know faces."""
    try:
        found, count = find_face(photo, FaceDetector())
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    if count > 1:
        (left, top), (right, bottom) = found.min(0), found.max(0)
        place = f"at x {left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f}"
        note(f"{name}: {count} faces, taking the largest, {place}; crop the photo to take another")
    basis = LandmarkBasis.of(at_net)
    original = basis.space == "original"
    transform = original_transform(found, size) if original else crop_transforms(found[None], size)[0]
    landmarks = apply_transform(transform, found)
    if basis.space == "face":
        subject = WholeFaceSubject(at_net, landmarks, size)
    else:
        subject = OriginalSubject(basis) if original else Subject.from_crop(basis, landmarks, size)
    return Face(photo, transform, crop_face(photo, transform, size), landmarks, subject)


def speak(
    at_net: nn.Module, vg_net: nn.Module, face: Face, windows: Iterator[np.ndarray], blinks: int | None
) -> Iterator[Moment]:
    """The frames, one by one, while the windows (k, ...) of the sound come in; blinks: their times' seed, if any"""
    light = Light(1.0, False) if is_original(vg_net) else Light.of(face.crop)
    image = to_network(to_tensor(light.shown(face.crop))).to(next(vg_net.parameters()).device)
    landmarks = rechunk(landmark_stream(at_net, face.subject, rechunk(windows, CHUNK)), CHUNK)
    landmarks = landmarks if blinks is None else blink_stream(landmarks, blinks)
    for piece, output in frame_stream(vg_net, image, face.subject.example_landmarks, landmarks):
        points = face.subject.pixels(piece, vg_net.config["size"])
        changes = [change.under(light) for change in Change.of(output)]
        yield from map(Moment, points, light.back(to_uint8(output.frames[0])), changes)


def write_results(args: Namespace, face: Face, moments: Iterator[Moment]) -> list[Path]:
    """Writes what the flags ask for, all of it or nothing, and says which files."""
    views = choose_views(args, face)
    landmarks_file = args.sample_dir / f"{args.save_name}_landmarks.npy"
    still = Moment(face.landmarks, face.crop, Change.none(len(face.crop)))
    track = stream_audio(args.in_file, SOUND_RATE, block=SOUND_RATE // FPS)
    landmarks = []
    with ExitStack() as stack:
        videos = [
            (stack.enter_context(VideoWriter(path, draw(still).shape[1::-1], FPS, audio=SOUND_RATE)), draw)
            for path, draw in views.items()
        ]
        for moment in moments:
            sound = next(track, np.zeros(0, np.float32))
            for video, draw in videos:
                video.write(draw(moment))
                video.write_audio(sound)
            if args.save_landmarks:
                landmarks.append(moment.landmarks)
        for sound in track:  # what rounding to another rate may have left
            for video, _ in videos:
                video.write_audio(sound)
        if args.save_landmarks:
            np.save(stack.enter_context(replacing(landmarks_file)), np.stack(landmarks))
    return [*views, landmarks_file] if args.save_landmarks else [*views]


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
