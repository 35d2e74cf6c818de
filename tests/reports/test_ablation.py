"""ablation.py: two tiny rows from training to table, what is kept, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import atnet
import atnet_test
import vgnet
import vgnet_test
from reports import ablation
from reports.markdown import marks
from tests.synthetic import make_store
from utils.errors import run
from utils.face.detector import FaceDetector
from utils.media.drawing import cut_tile, grid
from utils.media.images import read_photo

VG = "-width 4 -blocks 1 -frames 4 -batch_size 2 -num_thread 0 -cuda false"
AT = "-channels 4,4,8,8,8 -audio_features 16,16 -hidden 8 -layers 1 -frames 8 -batch_size 4 -num_thread 0 -cuda false"
SCRIPTS = {
    "atnet.py": (lambda args: atnet.launch(atnet.train, args), atnet.parse_args),
    "vgnet.py": (lambda args: vgnet.launch(vgnet.train, args), vgnet.parse_args),
    "atnet_test.py": (atnet_test.main, atnet_test.parse_args),
    "vgnet_test.py": (vgnet_test.main, vgnet_test.parse_args),
}


@pytest.fixture
def scripts(monkeypatch) -> list[str]:
    """Runs the scripts in this process and without searching drawn pictures for a face; -> names, as they are run"""
    names, unseen = [], np.full((68, 2), np.nan, np.float32)

    def finish(command: list[str]) -> int:
        names.append(Path(command[1]).name)
        main, parse_args = SCRIPTS[names[-1]]
        return run(main, lambda: parse_args(command[2:]))

    monkeypatch.setattr("reports.measure.finish", finish)
    monkeypatch.setattr(FaceDetector, "track", lambda self, frames: np.stack([unseen for _ in frames]))
    return names


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    path = make_store(tmp_path_factory.mktemp("ablation") / "grid.h5", frames=10, size=64)
    (path.parent / "splits" / "unseen.txt").write_text("s9/nobody\n")  # none in this store
    return path


def flags(store: Path, out: Path, *more: object) -> list[str]:
    places = ["--dataset_dir", store, "--splits", store.parent / "splits", "-o", out]
    sizes = ["--vg_steps", 2, "--at_steps", 2, f"-vg_flags={VG}", f"-at_flags={AT}"]
    return [str(one) for one in [*places, *sizes, *more]]


def ablate(arguments: list[str]) -> int:
    return run(ablation.main, lambda: ablation.parse_args(arguments))


def test_two_rows_from_training_to_table_and_nothing_twice(store, tmp_path, scripts):
    out = tmp_path / "out"
    command = flags(store, out, "--only", "vgnet_direct", "vgnet_warp")
    assert ablate(command) == 0
    assert scripts == ["vgnet.py", "vgnet.py", "vgnet_test.py", "vgnet_test.py"]
    rows = [
        one.split(" | ")[1:3] for one in (out / "ablation.md").read_text().splitlines() if "(1 clips)" in one
    ]
    assert rows == [
        ["static face", "-"],
        [ablation.WARP_ALONE, "-"],
        ["direct regression, no attention", "`-warp none -attention none -dynamic_pixel_loss false`"],
        ["full, with the landmark warp", "`-warp landmark`"],
    ]
    text = (out / "ablation.md").read_text()
    assert "vgnet.py --dataset grid" in text and "-steps 2 -cooldown 0 -seed 0" in text
    figures = json.loads((out / "vgnet_warp_test" / "metrics.json").read_text())["rows"]
    assert figures[ablation.STILL]["psnr"] > figures["VG-net, true landmarks"]["psnr"]  # hardly trained
    assert figures[ablation.STILL]["ssim"] != figures["static face"]["ssim"]
    height, width = read_photo(out / "ablation_test.png").shape[:2]
    assert height == 4 * (18 + 116) + 3 * 2 and width == ablation.STRIP * 192
    assert (out / "vgnet.csv").read_text().count("\n") == 5 and not (out / "atnet.csv").exists()
    assert ablate(command) == 0
    assert len(scripts) == 4


def test_a_lost_measurement_is_made_again_from_the_same_training(store, tmp_path, scripts):
    command = flags(store, tmp_path, "--only", "atnet_single")
    assert ablate(command) == 0
    table = (tmp_path / "atnet.csv").read_text()
    assert "held out (1 clips),static face" in table and "`-lstm false`" in table
    shutil.rmtree(tmp_path / "atnet_single_test")
    assert ablate(command) == 0
    assert scripts == ["atnet.py", "atnet_test.py", "atnet_test.py"]
    assert (tmp_path / "atnet.csv").read_text() == table


def test_a_stopped_training_goes_on(store, tmp_path, scripts, monkeypatch):
    """A row whose training did not end is trained by the same command again, and counts as trained only then."""
    command = flags(store, tmp_path, "--only", "atnet_full")
    with monkeypatch.context() as stopped:
        stopped.setattr("reports.measure.finish", lambda command: 130)
        assert ablate(command) == 2
    assert not (tmp_path / "atnet.csv").exists()
    assert ablate(command) == 0
    assert scripts == ["atnet.py", "atnet_test.py"]


def test_other_flags_need_another_folder(store, tmp_path, scripts, capsys):
    assert ablate(flags(store, tmp_path, "--only", "atnet_full")) == 0
    assert ablate(flags(store, tmp_path, "--only", "atnet_full", "--seed", 1)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and "training.json: was trained by another command" in error
    assert scripts == ["atnet.py", "atnet_test.py"]


def test_whole_tables_go_between_marks_of_their_own(store, tmp_path, scripts):
    page, own, others = tmp_path / "README.md", marks("ablation.py"), marks("tables.py")
    page.write_text("\n".join(["A", *own, *others, "B"]) + "\n")
    assert ablate(flags(store, tmp_path / "out", "--readme", page)) == 0
    text = page.read_text()
    assert text.startswith(f"A\n{own[0]}\n\n**VG-net with parts missing")
    assert text.endswith("\n".join([own[1], *others, "B"]) + "\n")
    assert "](assets/ablation_test.jpg)" in text and (tmp_path / "assets" / "ablation_test.jpg").exists()
    assert text.count("| held out (1 clips) |") == 9 + 4  # 7 VG-nets, 3 AT-nets, and the rows of no network
    assert sorted(scripts) == sorted(["vgnet.py", "vgnet_test.py"] * 7 + ["atnet.py", "atnet_test.py"] * 3)


def test_mistakes_are_one_line_before_anything_is_trained(store, tmp_path, scripts, capsys):
    cases = {
        "nowhere.h5: does not exist": flags(tmp_path / "nowhere.h5", tmp_path / "out"),
        "-vg_steps 0: must be at least 1": flags(store, tmp_path / "out", "--vg_steps", 0),
        "-only: page.md gets whole tables": flags(
            store, tmp_path / "out", "--only", "atnet_full", "--readme", "page.md"
        ),
        "page.md: no page with the marks": flags(store, tmp_path / "out", "--readme", tmp_path / "page.md"),
    }
    for message, command in cases.items():
        assert ablate(command) == 2, message
        errors = capsys.readouterr().err.strip().splitlines()
        assert len(errors) == 1 and message in errors[0]
    assert not scripts


def test_a_tile_is_cut_as_it_was_laid():
    tiles = [np.full((6, 6, 3), shade, np.uint8) for shade in (10, 20, 30)]
    picture = grid(tiles, captions=["a", "b", "c"])
    for number, tile in enumerate(tiles):
        assert np.array_equal(cut_tile(picture, number), tile)
