"""tables.py: what it runs, what it keeps, and what it writes."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from reports import tables
from reports.markdown import insert, marks
from reports.measure import Runner
from utils.errors import run
from utils.media.write import VideoWriter

ENVIRONMENT = {"machine": {"gpu": None, "cores": 2, "processor": "x86_64"}, "versions": {"torch": "2.0"}}


@pytest.fixture
def scripts(monkeypatch) -> list[list[str]]:
    """Stands for the test scripts: writes the figures of a clip whose correlation is 0.5; -> the commands it got"""
    commands = []

    def pretend(command: list[str]) -> int:
        commands.append(command[1:])
        folder = Path(command[command.index("-sample_dir") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        with VideoWriter(folder / "clip.mp4", (64, 32)) as video:
            for _ in range(20):
                video.write(np.full((32, 64, 3), 99, np.uint8))
        figures = dict.fromkeys(
            [*tables.AT_FIGURES, *tables.VG_FIGURES, "lmd_all", "paper_ssim", "paper_psnr"], 0.5
        ) | {"mouth_psnr_gain": None}
        names = [tables.AT_NET, tables.STATIC, tables.TRUTH, tables.FROM_TRUTH, tables.FROM_SPEECH]
        rows = dict.fromkeys([*names, "truth on the PCA basis"], figures)
        said = " ".join(["python", Path(command[1]).name, *command[2:]])
        if Path(command[1]).name == "nrnet_test.py":
            rows = noise_rows()
        facts = {"command": said, "clips": 3, "rows": rows} | ENVIRONMENT
        (folder / "metrics.json").write_text(json.dumps(facts))
        return 0

    monkeypatch.setattr("reports.measure.finish", pretend)
    return commands


def noise_rows() -> list[dict]:
    """Two networks in two kinds of noise at two ratios: the error is 2 clean, and grows with the noise"""
    cases = [("NR", "none", "clean", "", 2.0), ("static face", "none", "clean", "", 5.0)]
    cases += [
        ("NR", kind, snr, kind == "babble", 2 + 10 / float(snr))
        for kind in ("babble", "siren")
        for snr in ("20", "10")
    ]
    names = ("model", "noise", "snr", "heard_in_training", "lmd_mouth")
    return [dict(zip(names, case, strict=True)) for case in cases]


@pytest.fixture
def flags(tmp_path) -> list[str]:
    names = {"-at_model": "at.safetensors", "-vg_model": "vg.safetensors", "--dataset_dir": "grid.h5"}
    for name in names.values():
        (tmp_path / name).touch()
    places = [item for flag, name in names.items() for item in (flag, str(tmp_path / name))]
    return [*places, "-o", str(tmp_path / "out")]


def test_all_tables_with_how_each_number_was_obtained(scripts, flags, tmp_path):
    assert run(tables.main, lambda: tables.parse_args(flags)) == 0
    text = (tmp_path / "out" / "tables.md").read_text()
    assert "| s1, held out (3 clips) | AT-net | 0.500 |" in text and "| - |" in text
    assert "| ATVGnet, as reported | 1.290 | 0.8300 | 32.15 | no |" in text
    assert "| s1, held out (3 clips) | static face | 0.500 | 0.5000 | 0.50 | yes |" in text
    assert "2 x86_64 CPU cores, PyTorch 2.0; `python atnet_test.py -model_name" in text
    assert {path.stem for path in (tmp_path / "out").glob("*.csv")} == {
        "atnet",
        "vgnet",
        "paper",
        "voice_noise",
        "landmark_noise",
    }
    assert {path.stem for path in (tmp_path / "out").glob("*.png")} == {
        "unseen",
        "voice_noise",
        "landmark_noise",
    }
    levels = [
        command[command.index("--landmark_noise") + 1] for command in scripts if "--landmark_noise" in command
    ]
    assert [float(level) for level in levels] == tables.SIGMAS


def test_tables_go_between_the_marks_of_a_page(scripts, flags, tmp_path, capsys):
    page, (begin, end) = tmp_path / "README.md", marks("tables.py")
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    assert run(tables.main, lambda: tables.parse_args([*flags, "--readme", str(page)])) == 0
    text = page.read_text()
    assert (
        text.startswith(f"before\n{begin}\n\n**AT-net")
        and text.endswith(f"{end}\nafter\n")
        and "old" not in text
    )
    page.write_text("no marks")
    assert run(tables.main, lambda: tables.parse_args([*flags, "--readme", str(page)])) == 2
    assert "no page with the marks" in capsys.readouterr().err and page.read_text() == "no marks"


def test_a_page_has_parts_of_several_scripts():
    first, second = ("\n".join(marks(script)) for script in ("tables.py", "ablation.py"))
    page = insert(insert(f"A\n{first}\nB\n{second}\nC\n", "one", "tables.py"), "two", "ablation.py")
    between = (f"{{}}\n\n{text}\n\n{{}}" for text in ("one", "two"))
    parts = [
        text.format(*marks(script))
        for text, script in zip(between, ("tables.py", "ablation.py"), strict=True)
    ]
    assert page == f"A\n{parts[0]}\nB\n{parts[1]}\nC\n"
    assert insert(page, "one", "tables.py") == page
    for wrong in ("A", first + first, "\n".join(reversed(marks("tables.py")))):
        with pytest.raises(ValueError, match="unpack"):
            insert(wrong, "one", "tables.py")


def test_what_was_measured_is_kept_until_the_weights_change(scripts, flags, tmp_path):
    assert run(tables.main, lambda: tables.parse_args(flags)) == 0
    count = len(scripts)
    assert run(tables.main, lambda: tables.parse_args(flags)) == 0
    assert len(scripts) == count
    newer = time.time() + 60
    os.utime(tmp_path / "at.safetensors", (newer, newer))
    assert run(tables.main, lambda: tables.parse_args(flags)) == 0
    assert len(scripts) == 2 * count


def test_what_was_measured_on_another_list_is_not_kept(scripts, flags, tmp_path):
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "test.txt").write_text("s1/one")
    options = [*flags, "--splits", str(tmp_path / "splits")]
    assert run(tables.main, lambda: tables.parse_args(options)) == 0
    count, newer = len(scripts), time.time() + 60
    os.utime(tmp_path / "splits" / "test.txt", (newer, newer))
    assert run(tables.main, lambda: tables.parse_args(options)) == 0
    assert len(scripts) == 2 * count


def test_a_measurement_whose_weights_are_gone_is_the_scripts_to_refuse(scripts, tmp_path):
    store, weights = tmp_path / "grid.h5", tmp_path / "net.safetensors"
    for path in (store, weights):
        path.touch()
    for _ in range(2):
        Runner(tmp_path / "out", store, None)("one", "atnet_test.py", "-model_name", weights)
    assert len(scripts) == 1
    weights.unlink()
    Runner(tmp_path / "out", store, None)("one", "atnet_test.py", "-model_name", weights)
    assert len(scripts) == 2


@pytest.mark.parametrize("flag", ["-clips", "-curve_clips"])
def test_no_clips_are_refused_before_anything_is_measured(flag, scripts, flags, capsys):
    assert run(tables.main, lambda: tables.parse_args([*flags, flag, "0"])) == 2
    assert f"{flag} 0: must be at least 1" in capsys.readouterr().err and not scripts


def test_mistakes_are_one_line(scripts, flags, tmp_path, capsys, monkeypatch):
    (tmp_path / "vg.safetensors").unlink()
    assert run(tables.main, lambda: tables.parse_args(flags)) == 2
    assert "vg.safetensors: does not exist" in capsys.readouterr().err
    (tmp_path / "vg.safetensors").touch()
    monkeypatch.setattr("reports.measure.finish", lambda command: 2)
    assert run(tables.main, lambda: tables.parse_args(flags)) == 2
    assert "atnet_test.py ended with status 2" in capsys.readouterr().err


def test_nr_nets_in_noise_where_noises_are_given(scripts, flags, tmp_path):
    page, noise = tmp_path / "README.md", tmp_path / "noise.h5"
    weights = tmp_path / "nr.safetensors"
    page.write_text(
        "\n".join([*marks("tables.py"), *marks("tables.py --noise"), "![](assets/noise_curves.png)"])
    )
    options = [*flags, "--noise", str(noise), "-nr_models", str(weights), "--readme", str(page)]
    assert run(tables.main, lambda: tables.parse_args(options)) == 2 and not scripts
    for path in (noise, weights):
        path.touch()
    assert run(tables.main, lambda: tables.parse_args(options)) == 0
    text = page.read_text()
    assert "| noise of kinds heard in training (babble) | clean | 20 dB | 10 dB |" in text
    assert "| NR | 2.000 | 2.500 | 3.000 |" in text and "| static face | 5.000 | 5.000 | 5.000 |" in text
    assert [path.name for path in (tmp_path / "assets").iterdir()] == ["noise_curves.png"]
    assert {one[one.index("--split") + 1] for one in scripts if "nrnet_test.py" in one[0]} == {
        "test",
        "unseen",
    }
