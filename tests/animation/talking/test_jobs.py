"""Lists of jobs: what they may say, and what becomes of the bad ones."""

from argparse import Namespace
from pathlib import Path

import pytest

import demo
from animation.talking.jobs import read_jobs, run_jobs
from utils.errors import UserError

FLAGS = {"size", "blink", "crop", "sample_dir", "face"}


def parse(words: list[str]) -> Namespace:
    return demo.parse_args(["-sample_dir", "out", *words])


def read(folder: Path, text: str):
    path = folder / "jobs.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_jobs(path, parse, FLAGS)


def test_columns_are_flags_and_empty_cells_are_none(tmp_path):
    (tmp_path / "a.wav").touch()
    one, two = read(
        tmp_path, "\ufeffPhoto,audio,name,size,blink\nme.png,a.wav,first,256,off\nx.png,/b/c.mp3,,,\n"
    )
    assert (one.line, one.name, one.wish.size, one.wish.blink) == (2, "first", 256, False)
    assert one.wish.speech == tmp_path / "a.wav" and one.wish.person == Path("me.png")
    assert (two.name, two.wish.person, two.wish.size, two.wish.blink) == ("x_c", Path("x.png"), None, None)
    assert two.wish.files == [Path("out/x_c.mp4")]
    one, two = read(tmp_path, "photo,audio\n,a.wav\nme.png,\n")
    assert "names no photo" in one.wrong and "names no audio" in two.wrong


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_understood(tmp_path, separator):
    (job,) = read(
        tmp_path, separator.join(["photo", "audio"]) + "\n" + separator.join(["a.png", "b.wav"]) + "\n"
    )
    assert (job.name, job.wish.speech) == ("a_b", Path("b.wav"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "lists nothing"),
        ("photo,audio\n", "lists nothing"),
        ("photo,colour\na,b\n", "unknown column 'colour'"),
        ("name,size\na,128\n", "no column photo or audio"),
        ("photo,audio,name\na,b,x\nc,d,x\n", "lines 2 and 3 would both write"),
        ('photo,audio\n"a,b\n', "no CSV list"),
        (b"photo,audio\n\xff\xfe,b\n".decode("latin1").encode("latin1"), "no CSV list"),
    ],
)
def test_a_list_that_is_none_is_refused_whole(tmp_path, text, word):
    with pytest.raises(UserError, match=word):
        read(tmp_path, text)


def test_columns_of_spreadsheets_without_a_name_may_be_empty(tmp_path):
    (job,) = read(tmp_path, "photo,audio,\na.png,b.wav,\n")
    assert job.name == "a_b" and job.wrong is None
    (job,) = read(tmp_path, "photo,audio,\na.png,b.wav,more\n")
    assert "more cells than columns" in job.wrong


def test_failures_so_far_are_known_after_a_stop(tmp_path):
    jobs, failures = read(tmp_path, "photo,audio,size\na,b,abc\na,c,\n"), []

    def stop(job):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, stop, lambda: None, failures)
    assert len(failures) == 1 and "size abc" in failures[0]


def test_absent_lists_are_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: no such file"):
        read_jobs(tmp_path / "none.csv", parse, FLAGS)


def test_bad_lines_are_told_in_the_end_and_stop_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/there.mp4").touch()
    text = "photo,audio,name,size\na,b,there,\na,b,bad,abc\na,b,wrong,\na,b,bug,\na,b,sub/x,\na,b,many,,,7\na,b,good,\n"
    jobs, made, done = read(tmp_path, text), [], []

    def make(job):
        if job.name == "wrong":
            raise UserError("a: no face")
        if job.name == "bug":
            raise RuntimeError("unforeseen")
        made.append(job.name)

    failures: list[str] = []
    there = run_jobs(jobs, make, lambda: done.append(1), failures)
    assert (there, made, len(done)) == (1, ["good"], 7)
    said = "\n".join(failures)
    assert len(failures) == 5 and "line 3, bad: -size abc" in said and "line 4, wrong: a: no face" in said
    assert "line 5, bug: RuntimeError: unforeseen" in said and "without folders" in said
    assert "line 7, many: it has more cells" in said
