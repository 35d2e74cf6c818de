"""tables.py: every figure of the test scripts comes to its place on the page, with its curves."""

import json
import re

import pytest

from reports import runs, tables
from utils.errors import run
from utils.media.images import read_photo

# Stands for a test script: says that its figures are 0.5, but for noise, by which the mouth's distance grows.
SCRIPT = """
import json, pathlib, sys
options = dict(zip(sys.argv, sys.argv[1:]))
facts = json.loads({facts!r})
facts.update(command=" ".join(["python", pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]))
facts.update(split=options.get("--split"), weights=options.get("-model_name"))
if "nrnet" in sys.argv[0]:
    facts["rows"] = [dict(model="NR", noise=kind, snr=snr, heard_in_training=heard, lmd_mouth=error)
                     for kind, snr, heard, error in [("none", "clean", "", 2), ("hum", "20", True, 3)]]
else:
    for row in facts["rows"].values():
        row["lmd_mouth"] += float(options.get("--landmark_noise", 0))
folder = pathlib.Path(options["-sample_dir"])
folder.mkdir(parents=True, exist_ok=True)
(folder / "metrics.json").write_text(json.dumps(facts))
"""
NAMES = [
    tables.PLAIN,
    tables.AT_NET,
    tables.STATIC,
    tables.PROJECTED,
    tables.FROM_TRUTH,
    tables.FROM_SPEECH,
    tables.TRUTH,
]
KINDS = ("AT", "VG", "LANDMARK", "PAPER")
FIGURES = dict.fromkeys([name for kind in KINDS for name in getattr(tables, f"{kind}_FIGURES")], 0.5)
FIGURES |= dict.fromkeys([*tables.FREE_FIGURES, *tables.FREE_PICTURES], 0.5)
FACTS = {
    "dataset": "grid",
    "clips": 3,
    "machine": {"gpu": None, "cores": 2, "processor": "x86_64"},
}
FACTS |= {"versions": {"torch": "2.0"}, "rows": dict.fromkeys(NAMES, FIGURES | {"jitter_ratio": None})}


@pytest.fixture
def flags(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    for name in ("atnet_test.py", "vgnet_test.py", "nrnet_test.py"):
        (tmp_path / name).write_text(SCRIPT.format(facts=json.dumps(FACTS)))
    places = dict(at_models="at", vg_model="vg", nr_models="nr", dataset_dir="grid.h5", noise="noise.h5")
    for name in places.values():
        (tmp_path / name).touch()
    places |= dict(o="out", docs="docs")
    return [item for flag, name in places.items() for item in (f"-{flag}", str(tmp_path / name))]


def test_the_page_has_every_table_and_picture(flags, tmp_path):
    assert run(tables.main, lambda: tables.parse_args(flags)) == 0
    page = (tmp_path / "docs/results.md").read_text()
    assert f"python -m reports.tables -at_models {tmp_path}" in page.splitlines()[0]
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    sigmas = {row[0]: row[1] for row in rows if row[0].startswith("0") and len(row) == 8}
    assert sigmas == {f"{sigma:g}": f"{0.5 + sigma:.3f}" for sigma in tables.SIGMAS}
    assert sum(row[0] == "held out (3 clips)" for row in rows) == 3 + 4 + 3 + 4
    assert [row[-1] for row in rows if "as reported" in row[1]] == ["no"] * 3
    assert ["NR", "2.000", "3.000"] in rows
    assert page.count("`python vgnet_test.py") >= 4 and "2 x86_64 CPU cores; PyTorch 2.0" in page
    assert page.count("\n- LMD mouth: ") == 1 and "free speech" not in page
    pictures = re.findall(r"\]\(\.\./(assets/.+?)\)", page)
    assert len(pictures) == 3 and all(read_photo(tmp_path / name).std() > 0 for name in pictures)


def test_free_speech_is_every_clip_of_another_store(flags, tmp_path, capsys):
    wild = tmp_path / "wild.h5"
    wild.touch()
    flags += ["-wild", str(wild), "-splits", str(tmp_path / "lists")]
    assert run(tables.main, lambda: tables.parse_args(flags)) == 0
    page = (tmp_path / "docs/results.md").read_text()
    assert sum(line.startswith("| free speech (3 clips)") for line in page.splitlines()) == 4 + 4
    commands = [json.loads(path.read_text())["command"] for path in tmp_path.glob("out/*_wild/run.json")]
    assert len(commands) == 2
    for command in commands:
        assert f"--dataset_dir {wild}" in command and "--split all" in command and "lists" not in command
        assert "--videos 0" in command


def test_larger_crops_are_measured_at_their_own_size(flags, tmp_path):
    larger = tmp_path / "grid512.h5"
    larger.touch()
    assert run(tables.main, lambda: tables.parse_args([*flags, "-larger", str(larger)])) == 0
    page = (tmp_path / "docs/results.md").read_text()
    for name in (tables.STATIC, tables.PLAIN, tables.FROM_TRUTH):
        assert sum(line.startswith(f"| grid512 | {name} |") for line in page.splitlines()) == 1
    command = json.loads((tmp_path / "out/larger_grid512/run.json").read_text())["command"]
    assert f"--dataset_dir {larger}" in command and "--split all" in command and "-at_model" not in command


def test_two_networks_that_hear_stand_beside_each_other(flags, tmp_path):
    other = tmp_path / "other"
    other.touch()
    flags.insert(flags.index("-at_models") + 2, str(other))
    assert run(tables.main, lambda: tables.parse_args(flags)) == 0
    page = (tmp_path / "docs/results.md").read_text()
    for name in ("at", "other"):
        assert sum(line.startswith(f"| held out (3 clips) | {name} |") for line in page.splitlines()) == 1 + 4


def test_noise_on_landmarks_needs_no_sound(flags, tmp_path):
    assert run(tables.main, lambda: tables.parse_args(flags)) == 0
    found = [
        json.loads(path.read_text())["command"] for path in tmp_path.glob("out/landmark_noise_*/run.json")
    ]
    assert len(found) == len(tables.SIGMAS) and not any("-at_model" in command for command in found)


@pytest.mark.parametrize("flag", ["-clips", "-curve_clips"])
def test_no_clips_are_refused(flag, flags, tmp_path, capsys):
    assert run(tables.main, lambda: tables.parse_args([*flags, flag, "0"])) == 2
    assert (
        f"{flag} 0: give a whole number of at least 1" in capsys.readouterr().err
        and not (tmp_path / "out").exists()
    )


def test_missing_weights_are_one_line(flags, tmp_path, capsys):
    (tmp_path / "vg").unlink()
    assert run(tables.main, lambda: tables.parse_args(flags)) == 2
    assert "vg: does not exist" in capsys.readouterr().err and not (tmp_path / "docs").exists()
