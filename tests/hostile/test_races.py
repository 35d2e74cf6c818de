"""Two runs that want to write the same, the first of which is held in the middle of its work."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import atnet
import demo
from animation.talking import networks as talking_networks
from data.store import ClipStore
from models import ATNet, VGNet, save_model
from preprocess import grid
from tests.preprocess.test_preprocess import assert_equal_stores
from tests.raw_corpus import make_video, save_landmarks
from tests.synthetic import make_store, write_wav
from training.state import read_state
from utils.errors import run
from utils.face.detector import FaceDetector

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs locks")
ROOT = Path(__file__).parents[2]
HELD = """
import sys
from importlib import import_module
from utils.errors import run

owner, name, module, *words = sys.argv[1:]
owner, script = import_module(owner), import_module(module)
*path, name = name.split(".")
for part in path:
    owner = getattr(owner, part)
whole = getattr(owner, name)

def held(*args, **options):
    result = whole(*args, **options)
    print("held", flush=True)
    sys.stdin.readline()
    setattr(owner, name, whole)
    return result

setattr(owner, name, held)
main = getattr(script, "main", None) or (lambda args: script.launch(script.train, args))
sys.exit(run(main, lambda: script.parse_args(words)))
"""


@contextmanager
def held_run(owner: str, name: str, module: str, words: Sequence[object]) -> Iterator[subprocess.Popen]:
    """A script that waits, after the first call of owner.name, for a line on its standard input"""
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    environment = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    command = [sys.executable, "-c", HELD, owner, name, module, *map(str, words)]
    with subprocess.Popen(command, env=environment, cwd=ROOT, **pipes) as process:
        try:
            line = next((line for line in process.stdout if line == "held\n"), None)
            assert line, process.stderr.read()
            yield process
        finally:
            process.kill()


def second_is_refused(second: Callable[[], int], first: subprocess.Popen, what: str, capsys) -> None:
    capsys.readouterr()
    assert second() == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1 and f"{what} by process {first.pid} on " in said[0]


def goes_on(first: subprocess.Popen) -> None:
    _, errors = first.communicate("\n", timeout=120)
    assert first.returncode == 0, errors


def test_two_preprocessings_of_one_store(tmp_path, capsys):
    """The first would pack and remove what the second has half written, or has written since."""
    raw, landmarks = tmp_path / "raw", tmp_path / "landmarks"
    for number in range(3):
        points = make_video(raw / f"s1/clip{number}.mp4", frames=8, seed=number)
        save_landmarks(landmarks, f"s1/clip{number}", points)
    store, more = tmp_path / "grid.h5", ["--landmarks", landmarks, "--workers", "1"]

    def make(path: Path) -> int:
        return run(grid.main, lambda: grid.parse_args([str(word) for word in (raw, path, *more)]))

    with held_run("preprocess.making.corpus", "read_clip", "preprocess.grid", [raw, store, *more]) as first:
        second_is_refused(lambda: make(store), first, "is being made", capsys)
        goes_on(first)
    assert make(tmp_path / "alone.h5") == 0 and not [*tmp_path.glob(".*")]
    assert_equal_stores(ClipStore(store), ClipStore(tmp_path / "alone.h5"))
    with held_run(
        "preprocess.making.corpus", "read_clip", "preprocess.grid", [raw, tmp_path / "killed.h5", *more]
    ) as first:
        first.kill()
        first.wait()
        assert make(tmp_path / "killed.h5") == 0
    assert_equal_stores(ClipStore(store), ClipStore(tmp_path / "killed.h5"))


def test_two_trainings_in_one_folder(tmp_path, capsys):
    store = make_store(tmp_path / "grid.h5", size=64)
    flags = ["-dataset_dir", store, "-splits", tmp_path / "splits", "-cuda", "false", "-num_thread", 0]
    flags += "-channels 4,4,8,8,8 -audio_features 16,16 -hidden 8 -layers 1 -frames 8 -batch_size 4".split()
    flags += ["-save_every", 1, "-model_dir", tmp_path / "model", "-sample_dir", tmp_path / "pictures"]

    def train(steps: int) -> int:
        words = [str(word) for word in (*flags, "-steps", steps)]
        return run(lambda args: atnet.launch(atnet.train, args), lambda: atnet.parse_args(words))

    def step() -> int:
        return read_state(tmp_path / "model" / "atnet_state.pt")["step"]

    with held_run("training.state", "TrainingState.save", "atnet", [*flags, "-steps", 2]) as first:
        second_is_refused(lambda: train(3), first, "is being trained", capsys)
        assert step() == 1
        goes_on(first)
    assert step() == 2
    with held_run("training.state", "TrainingState.save", "atnet", [*flags, "-steps", 4]) as first:
        first.kill()
        first.wait()
        assert train(5) == 0
    assert step() == 5 and not [*(tmp_path / "model").glob(".*")]


@pytest.fixture
def wanted(tmp_path) -> list:
    """The flags of a demo on small networks"""
    data = pytest.importorskip("skimage.data")
    network = ATNet(channels=(4,) * 5, audio_features=(16, 8), example_features=(8, 8), hidden=8, layers=2)
    network.set_basis(
        np.zeros(136), np.linalg.qr(np.random.default_rng(0).normal(size=(136, 6)))[0], np.ones(6), 0.03
    )
    save_model(tmp_path / "at.safetensors", network)
    save_model(tmp_path / "vg.safetensors", VGNet(width=4, blocks=1))
    Image.fromarray(data.astronaut()[:300, 100:400]).save(tmp_path / "face.png")
    write_wav(tmp_path / "half.wav", 0.5)
    places = dict(p="face.png", i="half.wav", at_model="at.safetensors", vg_model="vg.safetensors")
    flags = [word for flag, name in places.items() for word in (f"-{flag}", tmp_path / name)]
    return [
        *flags,
        "-cuda",
        "false",
        "-sample_dir",
        tmp_path / "out",
        "-s",
        "a",
        "--panel",
        "--save_landmarks",
    ]


def test_two_demos_of_one_name(tmp_path, wanted, capsys, monkeypatch):
    detector = FaceDetector()
    monkeypatch.setattr(talking_networks, "FaceDetector", lambda: detector)

    def speak(*more: str) -> int:
        words = [str(word) for word in (*wanted, *more)]
        return run(demo.main, lambda: demo.parse_args(words))

    with held_run("animation.talking.talk", "VideoWriter", "demo", wanted) as first:
        second_is_refused(speak, first, "is being written", capsys)
        assert speak("-s", "b") == 0
        goes_on(first)
    names = [f"{name}{end}" for name in "ab" for end in (".mp4", "_landmarks.npy", "_panel.mp4")]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    with held_run("animation.talking.talk", "VideoWriter", "demo", wanted) as first:
        first.kill()
        first.wait()
        assert speak() == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
