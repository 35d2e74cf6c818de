"""What tests of talking faces share: small networks with random weights, recordings, and what is in a video."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import torch

import demo
from animation.original import CANONICAL_FACE
from models import ATNet, NRNet, VGNet, WhisperATNet, save_model
from models.headmotion.generative import HeadMotion
from utils.errors import run

ROOT = Path(__file__).parents[1]
SMALL = dict(channels=(4, 4, 4, 4, 4), audio_features=(16, 8))


def at_net(kind=ATNet, space: str = "motion"):
    sizes = SMALL | (dict(example_features=(8, 8), hidden=8, layers=2) if kind is ATNet else {})
    if kind is WhisperATNet:
        sizes = dict(width=8, hidden=4, encoder=dict(width=12, layers=1, heads=2))
    network = kind(**sizes, space=space)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(136, 6)))[0]
    network.set_basis(CANONICAL_FACE if space == "original" else np.zeros(136), basis, np.ones(6), 0.03)
    return network


def small_weights(folder: Path) -> tuple[Path, Path]:
    """Files of an AT-net and of a VG-net"""
    torch.manual_seed(0)
    paths = folder / "at.safetensors", folder / "vg.safetensors"
    for path, network in zip(paths, (at_net(), VGNet(width=4, blocks=1)), strict=True):
        save_model(path, network)
    return paths


def write_wave(path: Path, samples: int, rate: int = 16000, channels: int = 1, level: float = 0.2) -> None:
    sound = level * np.random.default_rng(0).normal(size=samples * channels).clip(-3, 3) / 3
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((sound * 32767).astype("<i2").tobytes())


def lengths(path: Path) -> tuple[int, float]:
    """The number of frames and the seconds of sound in a video"""
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        audio = container.streams.audio[0]
        return frames, float(audio.duration * audio.time_base)


def comment_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.metadata.get("comment", "")


def nr_net(**options) -> NRNet:
    torch.manual_seed(1)
    network = NRNet(filters=2, **options)
    size = 68 * network.config["dimensions"]
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(size, 6)))[0]
    still = np.zeros((68, network.config["dimensions"]))
    if network.config["space"] == "face":
        still[:, :2] = CANONICAL_FACE.reshape(68, 2) / 5
    network.set_basis(still.reshape(-1), 0.1 * basis, np.ones(6), 0.03)
    return network


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def peak_memory(
    files: Path,
    folder: Path,
    seconds: int,
    at_model: str,
    person: Path | None = None,
    head_motion: str = "none",
) -> int:
    """The largest resident size of a demo in a process of its own"""
    write_wave(folder / "in.wav", 16000 * seconds)
    script = (
        "import demo, resource, sys; demo.main(demo.parse_args(sys.argv[1:])); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    flags = f"-p {person or files / 'face.png'} -i {folder}/in.wav -sample_dir {folder} -at_model {files}/{at_model} "
    flags += f"-vg_model {files}/vg.safetensors -cuda false "
    flags += f"-head_motion {head_motion} -hm_model {files}/hm.safetensors"
    # A shell between: Linux counts the size of the process that starts another one as the other one's own.
    command = f"{sys.executable} -c '{script}' {flags} && true"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def head_motion(folder: Path) -> Path:
    """A file of a network that moves heads"""
    torch.manual_seed(2)
    path = folder / "hm.safetensors"
    network = HeadMotion(past=8, frames=24, width=8, rounds=1, steps=2)
    angles = (torch.arange(100)[:, None] / 25) * torch.arange(2, 8)
    network.fit([torch.sin(angles) * torch.tensor([0.1, 0.1, 0.1, 0.03, 0.03, 0.01])], [torch.zeros(100, 3)])
    save_model(path, network)
    return path


def run_demo(files: Path, out: Path, *flags: object, **replaced: object) -> int:
    """Exit status of the demo on the small networks, with some of its arguments replaced"""
    given = dict(
        p=files / "face.png",
        i=files / "half.wav",
        sample_dir=out,
        s="a",
        at_model=files / "at.safetensors",
        head_motion="none",
    )
    given |= dict(vg_model=files / "vg.safetensors") | replaced
    argv = [str(part) for name, value in given.items() if value is not None for part in (f"-{name}", value)]
    return run(demo.main, lambda: demo.parse_args([*argv, *map(str, flags)]))
