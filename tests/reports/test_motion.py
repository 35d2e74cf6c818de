"""motion.py: tiny networks, one without each person, from training to page, and nothing twice."""

from pathlib import Path

import headmotion
import headmotion_test
from reports import motion
from tests.heads import make_head_store
from utils.distributed import launch
from utils.errors import run

SMALL = "-past 8 -frames 16 -batch_size 2 -steps 2 -cuda false -width 4"
SCRIPTS = {
    "headmotion.py": (lambda args: launch(headmotion.train, args), headmotion.parse_args),
    "headmotion_test.py": (headmotion_test.main, headmotion_test.parse_args),
}


def test_everybody_is_left_out_once_and_nothing_is_done_twice(tmp_path, monkeypatch):
    names = []

    def finish(command: list[str]) -> int:
        names.append(Path(command[1]).name)
        main, parse_args = SCRIPTS[names[-1]]
        return run(main, lambda: parse_args(command[2:]))

    monkeypatch.setattr("reports.runs.finish", finish)
    store = make_head_store(tmp_path / "store.h5", clips=3, frames=60)
    (tmp_path / "people.txt").write_text("s1 s3\n")
    flags = ["--dataset_dir", store, "-people", tmp_path / "people.txt", "-o", tmp_path / "out", "-seeds", 2]
    flags += ["-docs", tmp_path / "docs", f"-flow_flags={SMALL} -rounds 1", f"-original_flags={SMALL}"]
    for _ in range(2):
        assert run(motion.main, lambda: motion.parse_args([str(one) for one in flags])) == 0
    assert names == ["headmotion.py"] * 4 + ["headmotion_test.py"]
    page = (tmp_path / "docs/motion.md").read_text()
    assert page.count("| flow on loudness |") == 5 and "all (3 clips)" in page and "2 people" in page
    for name in motion.PICTURES:
        assert (tmp_path / f"assets/motion_{name}.png").stat().st_size > 500


def test_mistakes(tmp_path, capsys):
    nowhere = ["--dataset_dir", str(tmp_path / "nowhere.h5"), "-o", str(tmp_path / "out")]
    assert run(motion.main, lambda: motion.parse_args(nowhere)) == 2
    assert "nowhere.h5: does not exist" in capsys.readouterr().err
