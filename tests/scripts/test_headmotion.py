"""Speech to head motion through the scripts' own main: training, resuming, people left out, the table, mistakes."""

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import convert
import headmotion
import headmotion_test
from data.heads.motion import MotionClips
from evaluation.motion.rows import CHANCE, FLOW, ORIGINAL, OTHER, STILL, TRUTH
from models import ATNetSingle, load_model, save_model
from models.headmotion.generative import HeadMotion
from models.headmotion.original import RotateAudio
from tests.heads import make_head_store
from tests.scripts.test_train_scripts import TORCHRUN, environment, same, weights
from training.loop import Run
from utils.distributed import launch
from utils.errors import run

ROOT = Path(__file__).parents[2]
SMALL = "-past 8 -frames 16 -batch_size 4 -num_thread 0 -cuda false -speaker_power 1 -save_every 2 -steps 4".split()
OF = dict(flow="-network flow -width 8 -rounds 1".split(), original="-width 4 -smoothing 3".split())


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("headmotion")
    make_head_store(home / "store.h5", clips=6, frames=60)
    (home / "people.txt").write_text("s1 s2\n")
    save_model(home / "atnet.safetensors", ATNetSingle(channels=(2, 2, 4, 4, 4), audio_features=(8, 8)))
    return home


def train(home: Path, out: Path, network: str, *options) -> int:
    flags = ["--dataset_dir", home / "store.h5", "-o", out, *SMALL, *OF[network], *options]
    return run(
        lambda args: launch(headmotion.train, args),
        lambda: headmotion.parse_args([str(one) for one in flags]),
    )


def test(home: Path, out: Path, *options) -> int:
    flags = [
        "--dataset_dir",
        home / "store.h5",
        "-o",
        out,
        "-cuda",
        "false",
        "-people",
        home / "people.txt",
        *options,
    ]
    return run(headmotion_test.main, lambda: headmotion_test.parse_args([str(one) for one in flags]))


test.__test__ = False


@pytest.mark.parametrize("network", OF)
def test_resume_equals_an_uninterrupted_run(network, home, tmp_path, monkeypatch):
    options = ["--splits", home / "splits", "-ema", 0.9]
    assert train(home, tmp_path / "whole", network, *options) == 0
    count, done = iter(range(100)), Run.step_done

    def step_done(self, *args):
        self.stop.asked = next(count) == 1 or self.stop.asked
        return done(self, *args)

    monkeypatch.setattr(Run, "step_done", step_done)
    assert train(home, tmp_path / "halves", network, *options) == 130
    assert train(home, tmp_path / "halves", network, *options) == 0
    same(weights(tmp_path / "whole"), weights(tmp_path / "halves"), rtol=0, atol=0)
    loaded = load_model(tmp_path / "whole/headmotion.safetensors")
    assert isinstance(loaded, dict(flow=HeadMotion, original=RotateAudio)[network])
    assert loaded.metadata["validation"] and loaded.metadata["left_out"] == []
    made = [str(tmp_path / name) for name in ("whole/headmotion_state.pt", "converted.safetensors")]
    assert run(convert.main, lambda: convert.parse_args(made)) == 0
    same(
        load_model(tmp_path / "converted.safetensors").state_dict(),
        weights(tmp_path / "whole"),
        rtol=0,
        atol=0,
    )


def test_the_table_measures_people_by_weights_that_left_them_out(home, tmp_path, capsys):
    for name, person in (("without_s1", "s2"), ("without_s3", "s3")):
        people = ["-people", home / "people.txt", "-leave_out", person]
        assert train(home, tmp_path / name, "flow", *people) == 0
    assert load_model(tmp_path / "without_s1/headmotion.safetensors").metadata["left_out"] == [
        "s1/clip0", "s1/clip3", "s2/clip1", "s2/clip4"]  # fmt: skip
    assert train(home, tmp_path / "all", "original") == 0
    files = [tmp_path / name / "headmotion.safetensors" for name in ("without_s1", "without_s3", "all")]
    assert test(home, tmp_path / "out", "-m", *files, "--split", "all", "-seeds", 2) == 0
    facts = json.loads((tmp_path / "out/metrics.json").read_text())
    assert list(facts["rows"]) == [STILL, OTHER, ORIGINAL, CHANCE, FLOW, TRUTH]
    assert facts["clips"] == 6 and facts["people"] == 2 and facts["seeds"] == 2
    assert facts["rows"][FLOW]["deviation_yaw"][0] > 0 and facts["rows"][FLOW]["variety"][0] > 0
    assert len(list(csv.DictReader((tmp_path / "out/clips.csv").open()))) == 36
    written = [
        *(tmp_path / "out").glob("tracks_*.png"),
        *(tmp_path / "out" / n for n in ("motion.md", "spectra.png")),
    ]
    assert len(written) == 4 and all(path.stat().st_size > 500 for path in written)
    assert "How far heads move" in capsys.readouterr().out
    assert test(home, tmp_path / "some", "-m", files[0], "--split", "all", "-seeds", 1, "-pictures", 0) == 0
    assert "2 of 6 clips are in the training" in capsys.readouterr().err
    assert json.loads((tmp_path / "some/metrics.json").read_text())["clips"] == 4
    assert test(home, tmp_path / "none", "-m", files[0], "--splits", home / "splits") == 2


@pytest.mark.parametrize("network", OF)
def test_it_learns(network, home, tmp_path):
    """The loss of windows of one clip falls"""
    args = headmotion.parse_args(
        ["--dataset_dir", str(home / "store.h5"), *SMALL, *OF[network], "-augment", "false"]
    )
    clips = headmotion.MotionClips(args.dataset_dir)
    model, track = headmotion.build(args), clips.motion("s1/clip0")
    samples = headmotion.MotionSamples(
        clips, {"s1/clip0": track}, 8, 16, 0, 1.0, False, raw=network == "original"
    )
    headmotion.fit(model, samples)
    batch = headmotion.torch.utils.data.default_collate([samples[n] for n in range(16)])
    optimiser, losses = headmotion.torch.optim.Adam(model.parameters(), 1e-2), []
    for _ in range(60):
        loss, _ = headmotion.loss_of(model, model, batch, 0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.parametrize(("network", "reads"), [("flow", "loudness"), ("original", "sound")])
def test_the_audio_is_read_once(network, reads, home, tmp_path, monkeypatch):
    read = dict(loudness=[], sound=[])
    for name, ids in read.items():
        of = getattr(MotionClips, name)
        monkeypatch.setattr(
            MotionClips, name, lambda self, id, of=of, ids=ids: ids.append(id) or of(self, id)
        )
    assert train(home, tmp_path, network, "--splits", home / "splits", "-steps", 1) == 0
    ids = MotionClips(home / "store.h5").store.ids
    assert {name: sorted(own) for name, own in read.items()} == dict(loudness=[], sound=[]) | {
        reads: [id for id in ids if id != "s3/clip5"]
    }


def test_two_processes(home, tmp_path):
    flags = ["headmotion.py", "--dataset_dir", home / "store.h5", "-o", tmp_path, *SMALL, *OF["flow"]]
    command = [*TORCHRUN, *map(str, flags)]
    subprocess.run(command, cwd=ROOT, env=environment(), check=True, capture_output=True, timeout=300)
    assert load_model(tmp_path / "headmotion.safetensors").metadata["steps"] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-leave_out", "s9"], "-leave_out s9: no clip of such a person; there are s1, s2, s3"),
        (["-leave_out", "s1,s2,s3"], "leaves nobody to train on"),
        (["-poses", "nowhere.h5"], "nowhere.h5: no such poses"),
        (["-people", "nowhere.txt"], "nowhere.txt: no list of people"),
        (["-frames", "500"], "no training clip has 508 frames"),
        (["-network", "lstm"], "lstm"),
        (["-deaf", "1"], "-deaf 1"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(options, message, home, tmp_path, capsys):
    assert train(home, tmp_path / "out", "original", *options) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]


@pytest.fixture(scope="module")
def flow(home) -> Path:
    save_model(home / "flow.safetensors", HeadMotion(past=8, frames=16, width=8, rounds=1))
    return home / "flow.safetensors"


def test_others_are_sixteen_clips_at_most():
    who = {f"s{n % 10}/{n:03d}": f"s{n % 10}" for n in range(200)}
    others = headmotion_test.others_of(who, "s3/003")
    assert len(others) == 16 and {who[one] for one in others} == {f"s{n}" for n in range(10)} - {"s3"}
    few = {id: who[id] for id in sorted(who)[::14]}  # fifteen clips of ten people
    first = next(iter(few))
    assert headmotion_test.others_of(few, first) == [id for id in few if who[id] != who[first]]


def test_help_is_the_scripts_own(capsys):
    with pytest.raises(SystemExit):
        headmotion.parse_args(["-h"])
    assert "-leave_out" in capsys.readouterr().out


def test_one_person_has_no_others(flow, home, tmp_path, capsys):
    (tmp_path / "people.txt").write_text("s1 s2 s3\n")
    options = ["-people", tmp_path / "people.txt", "--split", "all", "-seeds", 1, "-pictures", 1]
    assert test(home, tmp_path / "out", "-m", flow, *options) == 0
    rows = json.loads((tmp_path / "out/metrics.json").read_text())["rows"]
    assert list(rows) == [STILL, CHANCE, FLOW, TRUTH] and rows[FLOW]["above_other"] == [None] * 3
    assert OTHER not in capsys.readouterr().out


def test_clips_under_two_seconds_are_refused(flow, tmp_path, capsys):
    make_head_store(tmp_path / "store.h5", clips=3, frames=40)
    (tmp_path / "people.txt").write_text("s1 s2\n")
    assert test(tmp_path, tmp_path / "out", "-m", flow, "--split", "all") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "store.h5: none of these clips has 50 frames" in lines[0]
    assert not (tmp_path / "out").exists()


def test_other_weights_are_refused(home, tmp_path, capsys):
    assert test(home, tmp_path, "-m", home / "atnet.safetensors") == 2
    assert "holds the network ATNetSingle, but HeadMotion or RotateAudio is needed" in capsys.readouterr().err
