"""speech.py: figures, round trip, pictures and sounds come to their place on the page, and nothing runs twice."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from data.store import ClipStore
from evaluation.speech.rows import OURS, RECORDING
from reports import speech
from tests.synthetic import make_store
from utils.errors import run
from utils.media.images import read_photo
from utils.media.read import read_audio
from utils.media.write import wav_writer

FIGURES = dict(
    stoi=0.5,
    estoi=0.4,
    stoi_in_step=0.5,
    estoi_in_step=0.4,
    pesq=float("nan"),
    mel_distance=3.0,
    sound_offset=0.0,
    wer=30.0,
    wer_letters=20.0,
)


class Scripts:
    """In the place of the scripts: notes what is called, and leaves files like theirs"""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, command: list[str]) -> int:
        words = command[2:] if command[1] == "-m" else [Path(command[1]).name, *command[2:]]
        self.calls.append(words)
        options = dict(pairwise(words))
        if words[0] == "demo.py":
            folder = Path(options["-sample_dir"])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "demo.mp4").write_bytes(b"a video")
        elif words[0] == "preprocess.grid":
            make_store(Path(words[2]))
        else:
            self.measure(words, options)
        return 0

    def measure(self, words: list[str], options: dict[str, str]) -> None:
        folder = Path(options["-sample_dir"])
        rows = {
            name: FIGURES | dict(wer=90.0 if "faces" in options["--dataset_dir"] else 30.0)
            for name in speech.ROWS
        }
        rows[RECORDING] = FIGURES | dict(stoi=1.0)
        facts = dict(command="python " + " ".join(words), dataset="grid", split="test", clips=1, rows=rows)
        facts |= dict(
            machine=dict(gpu=None, cores=2, processor="x"), versions=dict(torch="2"), frames_per_second=50.0
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.json").write_text(json.dumps(facts))
        if "--save_wav" in words:
            with wav_writer(folder / "wav/s1/clip4.wav", 16000) as write:
                write(np.zeros(24 * 640, np.float32))


@pytest.fixture
def flags(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    store = make_store(tmp_path / "grid.h5")
    (tmp_path / "weights").touch()
    return ["-dataset_dir", str(store), "-splits", str(tmp_path / "splits"), "-o", "out", "-model", "weights"]


def test_the_page_has_tables_pictures_and_sounds(flags, tmp_path, monkeypatch):
    scripts = Scripts()
    monkeypatch.setattr("reports.runs.finish", scripts)
    for _ in range(2):
        assert run(speech.main, lambda: speech.parse_args(flags)) == 0
    assert [call[0] for call in scripts.calls] == ["lip2speech_test.py", "demo.py", "preprocess.grid"] + [
        "lip2speech_test.py"
    ] * 2
    page = (tmp_path / "docs/speech.md").read_text()
    rows = {
        line.split(" | ")[0].strip("| "): line.split(" | ")
        for line in page.splitlines()
        if line.startswith("| ")
    }
    assert rows[OURS][1] == "0.500" and rows[RECORDING][1] == "1.000" and rows[OURS][5] == "-"
    assert rows["true frames"][-2] == "30.0" and rows["demo.py's frames, from the sound"][-2] == "90.0"
    assert all(row[-1].strip("| ") == "no" for name, row in rows.items() if "as reported" in name)
    assert "2 times real time" in page and "pocketsphinx" in page
    clip = ClipStore(tmp_path / "grid.h5")["s1/clip4"]
    true = read_audio(tmp_path / "assets/speech_s1_clip4_true.wav")
    assert np.corrcoef(true, clip.audio)[0, 1] > 0.999 and abs(np.abs(true).max() - 0.9) < 0.01
    assert "(../assets/speech_s1_clip4_made.wav)" in page
    assert read_photo(tmp_path / "assets/speech_s1_clip4.png").std() > 10


def test_the_demo_is_given_each_clips_own_face_and_sound(flags, tmp_path, monkeypatch):
    scripts = Scripts()
    monkeypatch.setattr("reports.runs.finish", scripts)
    assert run(speech.main, lambda: speech.parse_args(flags)) == 0
    given = dict(pairwise(scripts.calls[1]))
    clip = ClipStore(tmp_path / "grid.h5")["s1/clip4"]
    np.testing.assert_allclose(read_audio(Path(given["-i"])), clip.audio, atol=1e-4)
    photo = read_photo(Path(given["-p"]))
    assert photo.shape == (384, 384, 3)
    assert np.abs(photo[1::3, 1::3].astype(float) - clip.frames([0])[0].movedim(0, -1).numpy()).mean() < 4
    raw = tmp_path / "out/round_trip/raw/s1"
    assert (raw / "clip4.mp4").read_bytes() == b"a video"
    assert [
        line.split()[2] for line in (raw / "align/clip4.align").read_text().splitlines()
    ] == clip.transcript.split()


def test_missing_weights_are_one_line(flags, capsys):
    assert run(speech.main, lambda: speech.parse_args([*flags[:-1], "none.safetensors"])) == 2
    assert capsys.readouterr().err.startswith("error: none.safetensors: does not exist")
