"""Training through the scripts' own main: it learns, resumes exactly, stops cleanly, runs in two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import atnet
import vgnet
from data.splits import clip_ids
from data.store import ClipStore
from data.vgnet import PortraitSamples
from models import ATNet, ATNetSingle, Discriminator, VGNet, load_model, save_model
from models.reading.reader import LipReader
from preprocess import pca
from tests.synthetic import make_store
from training.state import read_state
from training.stop import Stop
from utils.errors import Terminated, run

ROOT = Path(__file__).parents[2]
AT = "-channels 4,4,8,8,8 -audio_features 16,16 -hidden 8 -layers 1 -frames 8 -batch_size 4".split()
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
NO_JUDGES = "-adversarial_weight 0 -landmark_weight 0".split()
VG = "-width 4 -blocks 1 -frames 4 -batch_size 2 -warp landmark".split()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return make_store(tmp_path_factory.mktemp("store") / "grid.h5", size=64)


def train(script, store: Path, folder: Path, *options) -> int:
    flags = ["-dataset_dir", store, "-splits", store.parent / "splits", "-num_thread", 0, "-cuda", "false"]
    flags += [
        "-model_dir",
        folder,
        "-sample_dir",
        folder / "samples",
        *(AT if script is atnet else VG),
        *options,
    ]
    return run(
        lambda args: script.launch(script.train, args), lambda: script.parse_args([str(x) for x in flags])
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = folder.glob("*_last.safetensors")
    return load_model(path).state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], **tolerance) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(
            a[name], b[name], **tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("script", [atnet, vgnet])
def test_resume_equals_an_uninterrupted_run(script, store, tmp_path):
    options = ("-ema", 0.9, "-save_every", 2)
    assert train(script, store, tmp_path / "whole", *options, "-steps", 4) == 0
    assert train(script, store, tmp_path / "halves", *options, "-steps", 2) == 0
    assert train(script, store, tmp_path / "halves", *options, "-steps", 4) == 0
    same(weights(tmp_path / "whole"), weights(tmp_path / "halves"), rtol=0, atol=0)


def test_a_basis_of_clips_that_are_held_out_is_refused(store, tmp_path, capsys):
    """Fit without the lists, by GRID's rule, on clips that the lists keep for val and test."""
    assert run(pca.main, lambda: pca.parse_args([str(store), str(tmp_path / "all.npz")])) == 0
    assert train(atnet, store, tmp_path / "model", "-steps", 1, "-pca", tmp_path / "all.npz") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"error: {tmp_path / 'all.npz'}: ") and "s2/clip3" in said
    assert not [*(tmp_path / "model").glob("*.*")]
    splits = ["--splits", str(store.parent / "splits")]
    assert run(pca.main, lambda: pca.parse_args([str(store), str(tmp_path / "train.npz"), *splits])) == 0
    assert train(atnet, store, tmp_path / "model", "-steps", 1, "-pca", tmp_path / "train.npz") == 0


def test_a_run_with_other_settings_is_not_resumed(store, tmp_path, capsys):
    assert train(atnet, store, tmp_path, "-steps", 1) == 0
    before = weights(tmp_path)
    assert train(atnet, store, tmp_path, "-steps", 2, "-seed", 5) == 2
    assert "atnet_state.pt: belongs to a run with other settings (seed 0 -> 5)" in capsys.readouterr().err
    same(before, weights(tmp_path), rtol=0, atol=0)


def test_a_state_from_before_an_option_goes_on_with_its_default(store, tmp_path, capsys):
    assert train(vgnet, store, tmp_path, "-steps", 1) == 0
    path = tmp_path / "vgnet_state.pt"
    saved = torch.load(path, weights_only=True)
    settings = json.loads(saved["settings"])
    assert settings["config"].pop("attention") == "map"
    torch.save(saved | dict(settings=json.dumps(settings)), path)
    assert train(vgnet, store, tmp_path, "-steps", 2) == 0
    assert train(vgnet, store, tmp_path, "-steps", 3, "-attention", "none") == 2
    assert "belongs to a run with other settings (attention map -> none)" in capsys.readouterr().err


def test_a_lip_reader_may_teach_vg_net(store, tmp_path, capsys):
    reader = tmp_path / "reader.safetensors"
    save_model(reader, LipReader(["bin"], size=32, view=0.7, front=4, hearing=4, width=16, slots=8))
    for folder, options in (("plain", ()), ("read", ("-reading_weight", 5, "-reader", reader))):
        assert train(vgnet, store, tmp_path / folder, *NO_JUDGES, *options, "-steps", 1, "-lr", 0.01) == 0
    plain, read = (weights(tmp_path / folder) for folder in ("plain", "read"))
    assert any(not torch.equal(plain[name], read[name]) for name in plain)
    lost = ("-reading_weight", 1, "-reader", tmp_path / "lost.safetensors")
    assert train(vgnet, store, tmp_path / "lost", *lost) == 2
    assert "lost.safetensors: no such file" in capsys.readouterr().err
    assert train(vgnet, store, tmp_path / "lost", "-reader", reader) == 2
    assert "is for -reading_weight; give that too" in capsys.readouterr().err


def test_no_discriminator_is_run_before_its_start(store, tmp_path, monkeypatch):
    calls = []

    def counted(self, frames, example):
        calls.append(len(frames))
        return forward(self, frames, example)

    forward = Discriminator.forward
    monkeypatch.setattr(Discriminator, "forward", counted)
    assert train(vgnet, store, tmp_path / "never", "-steps", 2, "-adversarial_start", 2) == 0
    assert calls == []
    assert train(vgnet, store, tmp_path / "late", "-steps", 2, "-adversarial_start", 1) == 0
    assert calls == [4, 2]  # real and fake clips for its own step, fake ones for the generator's


def test_direct_regression_learns(store, tmp_path):
    """The example photo is not shown through: frames have to be painted, and soon are."""
    options = ("-attention", "none", "-dynamic_pixel_loss", "false", "-adversarial_start", 10**6)
    options += ("-warp", "none", "-dropout", 0, "-augment", "false", "-lr", 0.003)
    errors = []
    for steps in (1, 40):
        folder = tmp_path / str(steps)
        assert train(vgnet, store, folder, *options, "-steps", steps) == 0
        model = load_model(folder / "vgnet.safetensors")
        assert model.config["attention"] == "none"
        samples = PortraitSamples(ClipStore(store), ["s1/clip0"], 8, seed=3, augment=False)
        batch = {name: samples[0][name][None] for name in samples[0]}
        errors.append(vgnet.validate(model, [batch], torch.device("cpu"))["frame"])
    assert errors[1] < 0.85 * errors[0]


@pytest.mark.parametrize(("lstm", "network"), [("true", ATNet), ("false", ATNetSingle)])
def test_atnet_learns_the_drawn_faces(lstm, network, store, tmp_path):
    common = ("-lstm", lstm, "-augment", "false", "-lr", 0.003, "-whiten")
    assert train(atnet, store, tmp_path / "before", *common, "-steps", 1) == 0
    assert train(atnet, store, tmp_path / "after", *common, "-steps", 120) == 0
    errors = [
        validation_error(tmp_path / name / "atnet.safetensors", store, network)
        for name in ("before", "after")
    ]
    assert errors[1] < 0.5 * errors[0]


def validation_error(path: Path, store: Path, network: type) -> float:
    opened = ClipStore(store)
    ids = clip_ids(opened, "grid", "train", store.parent / "splits")
    return atnet.validate(load_model(path, expect=network), opened, ids, torch.device("cpu"))["mse"]


def test_vgnet_learns_to_move_the_mouth(store, tmp_path):
    options = (
        "-augment",
        "false",
        "-adversarial_start",
        10**6,
        "-dropout",
        0,
        "-mouth_weight",
        10,
        "-width",
        8,
    )
    options += ("-warp", "none", "-lr", 0.003, "-batch_size", 6, "-frames", 2)
    assert train(vgnet, store, tmp_path, *options, "-steps", 250, "-cooldown", 50) == 0
    model = load_model(tmp_path / "vgnet.safetensors", expect=VGNet)
    samples = PortraitSamples(ClipStore(store), ["s1/clip0", "s2/clip1"], 8, seed=3, augment=False)
    batch = {name: torch.stack([samples[i][name] for i in range(6)]) for name in samples[0]}
    errors = vgnet.validate(model, [batch], torch.device("cpu"))
    assert errors["mouth_frame"] < 0.85 * errors["mouth_static"]


def test_the_warp_alone_follows_the_mouth(store, tmp_path):
    """An untrained network with the landmark warp already beats the static face by far."""
    assert train(vgnet, store, tmp_path, "-warp", "landmark", "-steps", 1, "-lr", 0) == 0
    samples = PortraitSamples(ClipStore(store), ["s1/clip0", "s2/clip1"], 8, seed=3, augment=False)
    batch = {name: torch.stack([samples[i][name] for i in range(6)]) for name in samples[0]}
    errors = vgnet.validate(load_model(tmp_path / "vgnet.safetensors"), [batch], torch.device("cpu"))
    assert errors["mouth_still"] < 0.6 * errors["mouth_static"]


def test_weights_can_be_fine_tuned(store, tmp_path, capsys):
    assert train(vgnet, store, tmp_path / "first", "-steps", 1) == 0
    start = tmp_path / "first" / "vgnet.safetensors"
    assert train(vgnet, store, tmp_path / "second", "-steps", 1, "-lr", 0, "-load_model", start) == 0
    trained = {name for name, _ in VGNet(4, 1, warp="landmark").named_parameters()}
    first, second = (weights(tmp_path / name) for name in ("first", "second"))
    same({n: first[n] for n in trained}, {n: second[n] for n in trained}, rtol=0, atol=0)
    assert train(vgnet, store, tmp_path / "third", "-steps", 1, "-width", 8, "-load_model", start) == 2
    assert "vgnet.safetensors: its network has width 4" in capsys.readouterr().err
    options = ("-steps", 1, "-lr", 0, "-warp", "flow", "-load_model", start)
    assert train(vgnet, store, tmp_path / "flow", *options) == 0
    flow = weights(tmp_path / "flow")
    same({n: first[n] for n in trained}, {n: flow[n] for n in trained}, rtol=0, atol=0)
    save_model(tmp_path / "none.safetensors", VGNet(4, 1, size=64))  # which has nothing to refine
    options = ("-steps", 1, "-warp", "flow", "-load_model", tmp_path / "none.safetensors")
    assert train(vgnet, store, tmp_path / "refused", *options) == 2
    assert "none.safetensors: its network has warp none" in capsys.readouterr().err
    lesser = ("-warp", "landmark", "-load_model", tmp_path / "flow" / "vgnet.safetensors")
    assert train(vgnet, store, tmp_path / "refused", "-steps", 1, *lesser) == 2
    assert "its network has warp flow" in capsys.readouterr().err
    lids = ("-lids", "true", "-load_model", start)
    assert train(vgnet, store, tmp_path / "lids", "-steps", 1, "-lr", 0, *lids) == 0
    same({n: first[n] for n in trained}, {n: weights(tmp_path / "lids")[n] for n in trained}, rtol=0, atol=0)
    assert train(vgnet, store, tmp_path / "refused", "-steps", 1, "-lids", "true", "-warp", "none") == 2
    assert "-lids true: lids are a warp's" in capsys.readouterr().err


def test_both_discriminators_train_and_resume(store, tmp_path, capsys):
    options = ("-mouth_adversarial_weight", 0.1, "-mouth_matching_weight", 1, "-warp", "flow")
    assert train(vgnet, store, tmp_path / "whole", *options, "-steps", 3) == 0
    for steps in (1, 3):
        assert train(vgnet, store, tmp_path / "parts", *options, "-steps", steps) == 0
    states = [read_state(tmp_path / name / "vgnet_state.pt")["state"] for name in ("whole", "parts")]
    assert {"clips", "mouths", "optimiser_clips", "optimiser_mouths"} <= states[0].keys()
    for name in ("model", "clips", "mouths"):
        same(states[0][name], states[1][name], rtol=0, atol=0)
    assert train(vgnet, store, tmp_path / "none", *options[4:], *NO_JUDGES, "-steps", 1) == 0
    assert not {"clips", "mouths"} & read_state(tmp_path / "none" / "vgnet_state.pt")["state"].keys()
    capsys.readouterr()
    for folder, other in (("none", options), ("whole", options[4:])):
        assert train(vgnet, store, tmp_path / folder, *other, "-steps", 4) == 2
        assert "vgnet_state.pt: belongs to a run of other parts" in capsys.readouterr().err


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def command(script: str, store: Path, folder: Path, *options: str) -> list[str]:
    network = [*AT, "-lstm", "false"] if script == "atnet.py" else VG
    flags = ["-dataset_dir", store, "-splits", store.parent / "splits", "-num_thread", 0, "-cuda", "false"]
    flags += ["-model_dir", folder, "-sample_dir", folder]
    return [script, *(str(x) for x in flags), *network, *options]


def test_two_processes_train_as_one(store, tmp_path):
    """Same samples a step, half in each process, gradients averaged: the same weights (no batch norm in this net)."""
    steps = ("-steps", "3", "-clip", "0", "-precision", "fp32")
    two = command("atnet.py", store, tmp_path / "two", *steps, "-batch_size", "2")
    subprocess.run(
        [*TORCHRUN, *two], cwd=ROOT, env=environment(), check=True, capture_output=True, timeout=300
    )
    one = command("atnet.py", store, tmp_path / "one", *steps, "-batch_size", "4")
    subprocess.run(
        [sys.executable, *one], cwd=ROOT, env=environment(), check=True, capture_output=True, timeout=300
    )
    same(weights(tmp_path / "one"), weights(tmp_path / "two"), rtol=1e-4, atol=2e-5)


def test_two_processes_train_vgnet(store, tmp_path):
    """Both recurrences under DDP: one leaves the GRU's hidden weight without a gradient; both discriminators."""
    mouths = "-mouth_adversarial_weight 0.1 -mouth_matching_weight 1 -warp flow".split()
    for recurrence, more in {"time": mouths, "none": []}.items():
        folder = tmp_path / recurrence
        two = command("vgnet.py", store, folder, "-recurrence", recurrence, "-steps", "2", *more)
        subprocess.run(
            [*TORCHRUN, *two], cwd=ROOT, env=environment(), check=True, capture_output=True, timeout=300
        )
        assert weights(folder)


@pytest.mark.parametrize(
    ("sent", "status", "group"),
    [
        (signal.SIGINT, 130, False),
        (signal.SIGTERM, 143, False),
        (signal.SIGTERM, 143, True),
        (signal.SIGHUP, 129, True),
    ],
)
def test_a_stopped_run_saves_and_goes_on(store, tmp_path, sent, status, group):
    """group: all processes get the signal, the loader's workers too, as SLURM and systemd send it"""
    flags = command("atnet.py", store, tmp_path, "-steps", "100000", "-num_thread", "2" if group else "0")
    process = subprocess.Popen(
        [sys.executable, *flags],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.time() + 120
    while not list(tmp_path.glob("logs/*")) and time.time() < deadline:
        time.sleep(0.2)
    time.sleep(3)
    os.killpg(process.pid, sent) if group else process.send_signal(sent)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == status, errors
    assert "Traceback" not in errors and "run the same command again to go on" in errors
    saved = torch.load(tmp_path / "atnet_state.pt", weights_only=True)
    assert saved["step"] > 0
    assert train(atnet, store, tmp_path, "-lstm", "false", "-steps", saved["step"] + 1) == 0


@pytest.mark.parametrize("torchrun", [False, True])
def test_repeated_signals_do_not_interrupt_the_saving(torchrun, monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    if torchrun:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    now = [100.0]
    monkeypatch.setattr("training.stop.time.monotonic", lambda: now[0])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
    with Stop() as stop:
        assert not stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        now[0] += 0.5
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked
        now[0] += 2
        if torchrun:  # which insists by SIGKILL
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(Terminated):
                os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-dataset_dir", "nowhere.h5"], "nowhere.h5: no such clip store"),
        (["-pca", "nowhere.npz"], "nowhere.npz: no landmark basis"),
        (["-frames", "500"], "no training clip has 500 frames"),
        (["-channels", "4,x"], "4,x: give 5 widths"),
        (["-load_model", "nowhere.safetensors"], "nowhere.safetensors: no such file"),
        (["-encoder", "whisper.safetensors"], "-encoder: is for -features whisper"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(options, message, store, tmp_path, capsys):
    assert train(atnet, store, tmp_path / "out", "-steps", 1, *options) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and errors[0].startswith("error: ") and message in errors[0]
    assert not list(tmp_path.glob("out/*.safetensors"))


@pytest.mark.parametrize(
    ("script", "option", "value"),
    [
        (atnet, "-steps", "0"),
        (atnet, "-lr", "nan"),
        (atnet, "-speaker_power", "-1"),
        (vgnet, "-adversarial_start", "-1"),
        (vgnet, "-discriminator_width", "0"),
        (vgnet, "-mouth_weight", "-2"),
        (vgnet, "-landmark_weight", "-1"),
        (vgnet, "-beta", "-0.5"),
    ],
)
def test_senseless_numbers_are_refused(script, option, value, store, tmp_path, capsys):
    assert train(script, store, tmp_path / "out", option, value) == 2
    assert capsys.readouterr().err.startswith(f"error: {option} {value}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", [b"", b"not a state", "truncated", "pickle"])
def test_a_damaged_state_is_named_and_kept(damage, store, tmp_path, capsys):
    assert train(atnet, store, tmp_path, "-steps", 1) == 0
    path = tmp_path / "atnet_state.pt"
    contents = {"truncated": path.read_bytes()[:2000], "pickle": b"cos\nsystem\n(S'touch hostile'\ntR."}
    path.write_bytes(contents.get(damage, damage))
    assert train(atnet, store, tmp_path, "-steps", 2) == 2
    assert "atnet_state.pt: not a whole training state" in capsys.readouterr().err
    assert not Path("hostile").exists()


def test_training_needs_only_torch_numpy_h5py_and_tqdm():
    """A bare GPU machine with a preprocessed store has neither dlib nor librosa nor PyAV."""
    code = """
import sys
banned = {"dlib", "librosa", "av", "cv2", "scipy", "skimage", "safetensors", "tensorboard", "matplotlib"}
class Ban:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in banned:
            raise ImportError(name)
sys.meta_path.insert(0, Ban())
import atnet, lip2speech, lipread, nrnet, vgnet
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=environment(), timeout=120)
