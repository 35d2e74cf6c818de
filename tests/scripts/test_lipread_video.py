"""lipread_test.py --video: a face in a film is read, and what cannot be is one line."""

from pathlib import Path

import pytest
import torch

import lipread_test
from data.lips import videos
from models import save_model
from models.reading.reader import LipReader
from tests.raw_corpus import painted_faces, write_film
from utils.errors import run
from utils.face.detector import FaceDetector

SMALL = dict(size=32, view=0.7, front=4, hearing=4, width=16, slots=8)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("video")
    torch.manual_seed(0)
    model = LipReader(["bin", "now"], **SMALL)
    with torch.no_grad():  # sure of one word
        model.backend.out.weight.zero_()
        model.backend.out.bias.copy_(torch.tensor([0.0, 3.0]))
    save_model(home / "reader.safetensors", model)
    write_film(home / "film.mp4", painted_faces(32), sound=False)
    (home / "film.align").write_text("0 8000 sil\n8000 16000 bin\n16000 24000 now\n")
    return home


@pytest.fixture(autouse=True, scope="module")
def one_detector():
    detector = FaceDetector()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(videos, "FaceDetector", lambda: detector)
        yield


def call(home: Path, folder: Path, *options) -> int:
    flags = ["--checkpoint", home / "reader.safetensors", "-sample_dir", folder, "-cuda", "false", *options]
    return run(lipread_test.main, lambda: lipread_test.parse_args([str(flag) for flag in flags]))


def test_words_are_printed_and_become_subtitles(home, tmp_path, capsys):
    assert call(home, tmp_path, "--video", home / "film.mp4", "--test_aug", "true") == 0
    printed = capsys.readouterr().out
    assert "0.00 to   1.28 s  now               95 %" in printed and str(tmp_path / "film.srt") in printed
    assert (tmp_path / "film.srt").read_text() == "1\n00:00:00,000 --> 00:00:01,280\nnow\n\n"


def test_words_at_the_times_of_an_align_file(home, tmp_path, capsys):
    options = ("--align", home / "film.align", "--out", tmp_path / "new/words.srt")
    assert call(home, tmp_path, "--video", home / "film.mp4", *options) == 0
    printed = capsys.readouterr().out
    assert "1 of 2 words right" in printed and "said: bin" in printed
    text = (tmp_path / "new/words.srt").read_text()
    assert text == "1\n00:00:00,320 --> 00:00:00,640\nnow\n\n2\n00:00:00,640 --> 00:00:00,960\nnow\n\n"


def test_not_sure_enough_is_said(home, tmp_path, capsys):
    assert call(home, tmp_path, "--video", home / "film.mp4", "--sure", 0.99) == 0
    assert "no word is read with a probability of 0.99 or more" in capsys.readouterr().out
    assert (tmp_path / "film.srt").read_text() == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--align", "film.align"), "is for --video FILE"),
        (("--sure", "0.7"), "--sure 0.7: is for --video FILE"),
        (("--video", "film.mp4", "--split", "all"), "--split: is for the words of a store"),
        (("--video", "film.mp4", "--lrw", "words.h5"), "--lrw: is for the words of a store"),
        (("--video", "film.mp4", "--align", "film.align", "--sure", "0.7"), "with --align all are read"),
        (("--video", "nowhere.mp4"), "nowhere.mp4: no such file"),
        (("--video", "wall.mp4"), "wall.mp4: no face found"),
        (("--video", "film.mp4", "--align", "strange.align"), "'dog' is none of the network's 2 words"),
        (("--video", "film.mp4", "--align", "late.align"), "the video ends at 1.28 s"),
        (("--video", "film.mp4", "--out", "film.mp4"), "film.mp4: is what is to be read"),
        (
            ("--video", "film.mp4", "--align", "film.align", "--out", "film.align"),
            "film.align: is what is to be read",
        ),
        (("--video", "film.mp4", "--sure", "50"), "-sure 50"),
        (("--video", "film.mp4", "--batch_size", "3"), "--batch_size: is for the words of a store"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(home, tmp_path, capsys, monkeypatch, options, words):
    wall = [painted_faces(1)[0] * 0 + 90] * 5
    if not (home / "wall.mp4").exists():
        write_film(home / "wall.mp4", wall, sound=False)
    (home / "strange.align").write_text("0 8000 dog\n")
    (home / "late.align").write_text("0 8000 bin\n90000 98000 now\n")
    monkeypatch.chdir(home)
    before = (home / "film.mp4").read_bytes()
    assert call(home, tmp_path, *options) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1 and words in said[0]
    assert not [*tmp_path.rglob("*.srt")] and (home / "film.mp4").read_bytes() == before
