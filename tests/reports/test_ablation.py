"""ablation.py: tiny rows from training to page, and nothing twice."""

from pathlib import Path

import numpy as np

import atnet
import atnet_test
import lip2speech
import lip2speech_test
import vgnet
import vgnet_test
from evaluation.speech.rows import AVERAGE
from reports import ablation
from tests.synthetic import make_store
from utils.errors import run
from utils.face.detector import FaceDetector
from utils.media.images import read_photo

VG = "-width 4 -blocks 1 -frames 4 -batch_size 2 -num_thread 0 -cuda false"
AT = "-channels 4,4,8,8,8 -audio_features 16,16 -hidden 8 -layers 1 -frames 8 -batch_size 4 -num_thread 0 -cuda false"
LS = (
    "-size 32 -front 4 -context 16 -decoder 16 -postnet 8 -noise 4 -judges 4 -sync_width 4 -batch_size 2"
    " -window_size 20 -num_thread 0 -cuda false"
)
SCRIPTS = {
    "atnet.py": (lambda args: atnet.launch(atnet.train, args), atnet.parse_args),
    "vgnet.py": (lambda args: vgnet.launch(vgnet.train, args), vgnet.parse_args),
    "atnet_test.py": (atnet_test.main, atnet_test.parse_args),
    "vgnet_test.py": (vgnet_test.main, vgnet_test.parse_args),
    "lip2speech.py": (lip2speech.main, lip2speech.parse_args),
    "lip2speech_test.py": (lip2speech_test.main, lip2speech_test.parse_args),
}


def test_three_rows_from_training_to_page_and_nothing_twice(tmp_path, monkeypatch, capsys):
    """The scripts run in this process, and do not search drawn pictures for a face."""
    names, unseen = [], np.full((68, 2), np.nan, np.float32)

    def finish(command: list[str]) -> int:
        names.append(Path(command[1]).name)
        main, parse_args = SCRIPTS[names[-1]]
        return run(main, lambda: parse_args(command[2:]))

    monkeypatch.setattr("reports.runs.finish", finish)
    monkeypatch.setattr(FaceDetector, "track", lambda self, frames: np.stack([unseen for _ in frames]))
    store = make_store(tmp_path / "grid.h5", frames=10, size=64)
    (tmp_path / "splits/unseen.txt").write_text("s9/nobody\n")  # none in this store
    places = dict(dataset_dir=store, splits=tmp_path / "splits", o=tmp_path / "out")
    flags = [str(item) for name, path in places.items() for item in (f"-{name}", path)]
    flags += ["--vg_steps", "2", "--at_steps", "2", "--ls_steps", "2"]
    flags += [
        f"-vg_flags={VG}",
        f"-at_flags={AT}",
        f"-ls_flags={LS}",
        "--only",
        "vgnet_warp",
        "atnet_full",
        "lips_text",
    ]
    for _ in range(2):
        assert run(ablation.main, lambda: ablation.parse_args(flags)) == 0
    assert names == [
        f"{name}{test}.py" for name in ("vgnet", "atnet", "lip2speech") for test in ("", "_test")
    ]
    pages = [(tmp_path / f"out/docs/{name}.md").read_text() for name in ("ablation", "ablation_speech")]
    assert "lip2speech.py" not in pages[0] and "atnet.py" not in pages[1]
    page = "".join(pages)
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| held out (1 clips)")]
    titles = [
        "static face",
        ablation.WARP_ALONE,
        "full, with the landmark warp",
        "static face",
        "full, with LSTM",
        AVERAGE,
        "full, and the encoder reads letters",
    ]
    assert [one[1] for one in rows] == titles
    assert [one[2] for one in rows] == [
        "-",
        "-",
        "`-warp landmark`",
        "-",
        "`-lstm true`",
        "-",
        "`-text_weight 0.5`",
    ]
    still, warped, trained = (float(one[5]) for one in rows[:3])
    assert warped > trained and warped != still  # hardly trained
    height, width = read_photo(tmp_path / "out/assets/ablation_test.jpg").shape[:2]
    assert height == 3 * (18 + 116) + 2 * 2 and width == ablation.STRIP * 192
    assert run(ablation.main, lambda: ablation.parse_args([*flags, "--seed", "1"])) == 2
    assert "delete it" in capsys.readouterr().err and len(names) == 6


def test_mistakes_are_one_line_before_anything_is_trained(tmp_path, capsys):
    for flags in (["--dataset_dir", str(tmp_path / "nowhere.h5")], ["--vg_steps", "0"]):
        assert run(ablation.main, lambda flags=flags: ablation.parse_args([*flags, "-o", str(tmp_path)])) == 2
        assert flags[1].rsplit("/")[-1] in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
