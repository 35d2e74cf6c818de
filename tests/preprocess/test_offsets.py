"""How far each clip's sound is out of step with its lips, measured with lip-to-speech's own speech."""

import csv
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from data.lips.speech import MouthSamples
from data.store import ClipStore
from data.stores.clip import write_checksums
from models import save_model
from models.lips.windows import Piece
from preprocess import offsets
from tests.lips import small_lip_to_speech
from tests.synthetic import make_store
from utils.audio import SAMPLES_PER_FRAME
from utils.audio.mel import mel_of
from utils.audio.offset import later, read_offsets
from utils.errors import run


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lips.safetensors"
    save_model(path, small_lip_to_speech())
    return path


@pytest.fixture
def path(tmp_path) -> Path:
    return make_store(tmp_path / "grid.h5", clips=4, frames=30)


def measure(path: Path, table: Path, weights: Path) -> int:
    flags = [str(path), str(table), "--weights", str(weights), "-cuda", "false"]
    return run(offsets.main, lambda: offsets.parse_args(flags))


def with_sounds(path: Path, name: str, sounds: dict[str, np.ndarray]) -> Path:
    """A copy of the store, some of whose clips sound otherwise"""
    copy = Path(shutil.copy(path, path.with_name(name)))
    with h5py.File(copy, "r+") as file:
        for id, sound in sounds.items():
            clip = file[f"clips/{id}"]
            clip["audio"][...] = np.round(sound * 32767).astype(np.int16)
            del clip["frame_checksums"]
            write_checksums(clip)
    return copy


def test_a_sound_that_is_moved_is_found_so_much_farther_away(path, tmp_path, weights, monkeypatch):
    noise = np.random.default_rng(0).standard_normal((4, 30 * SAMPLES_PER_FRAME)).astype(np.float32) / 10
    loudness = np.repeat(np.random.default_rng(1).random((4, 60)), SAMPLES_PER_FRAME // 2, axis=1)
    said = dict(zip(ClipStore(path).ids, (noise * loudness).astype(np.float32), strict=True))
    late, early = list(said)[1:3]
    moved = said | {late: later(said[late], 1.5), early: later(said[early], -0.75)}
    store = with_sounds(path, "moved.h5", moved)
    mels = iter(mel_of(sound) for sound in said.values())  # a network that says what the lips do
    monkeypatch.setattr(offsets, "speak", lambda *given, **options: [Piece(next(mels), None)])
    assert measure(store, tmp_path / "offsets.csv", weights) == 0
    found = read_offsets(tmp_path / "offsets.csv")
    assert found == {id: {late: -1.5, early: 0.75}.get(id, 0.0) for id in said}
    with (tmp_path / "offsets.csv").open() as file:
        assert all(0.9 < float(row["likeness"]) <= 1 for row in csv.DictReader(file))


def test_what_is_common_or_far_is_no_offset():
    found = offsets.centred(dict(a=1.0, b=1.25, c=0.75, d=9.0, e=1.0))
    assert found == dict(a=0.0, b=0.25, c=-0.25, d=0.0, e=0.0)


def test_training_hears_the_moved_sound(path):
    store = ClipStore(path)
    moved, as_it_is = store.ids[:2]
    samples = MouthSamples(store, store.ids, 32, 0.7, 30, 0, offsets={moved: 0.5})
    assert (samples.whole(moved)["mel"] == mel_of(later(store[moved].audio, 0.5))).all()
    assert (samples.whole(as_it_is)["mel"] == mel_of(store[as_it_is].audio)).all()


def test_a_network_with_a_choice_of_voices_hears_the_clips_own(path, tmp_path, capsys):
    save_model(tmp_path / "voices.safetensors", small_lip_to_speech(voice=6))
    assert measure(path, tmp_path / "offsets.csv", tmp_path / "voices.safetensors") == 0
    assert len(read_offsets(tmp_path / "offsets.csv")) == 4
    assert measure(path, tmp_path, tmp_path / "voices.safetensors") == 2
    assert "is a folder; give the name of a table" in capsys.readouterr().err


def test_clips_without_sound_have_no_offset(path, tmp_path, weights, capsys):
    store = ClipStore(path)
    silence = {id: np.zeros_like(store[id].audio) for id in store.ids}
    first, *others = store.ids
    quiet = with_sounds(path, "quiet.h5", {first: silence[first]})
    assert measure(quiet, tmp_path / "offsets.csv", weights) == 0
    assert list(read_offsets(tmp_path / "offsets.csv")) == others
    capsys.readouterr()
    assert measure(with_sounds(path, "silent.h5", silence), tmp_path / "none.csv", weights) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert "none of its clips has sound" in line and not (tmp_path / "none.csv").exists()
