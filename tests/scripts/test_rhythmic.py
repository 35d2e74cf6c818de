"""rhythmic.py and rhythmic_test.py through their own main, on drawn heads that move"""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

import rhythmic
import rhythmic_test
from data.heads.poses import PoseStore, default_path
from data.store import ClipStore
from evaluation.rhythmic import rows, scores
from evaluation.rhythmic.scores import Judge
from evaluation.rhythmic.tasks import Track, self_task
from models import RhythmicNet, load_model, save_model
from preprocess.single import read_single
from tests.heads import make_head_store, make_static_store, moving_clip
from tests.models.rhythmic.inputs import small
from training.finetune import OwnFrames, fine_tune
from utils.errors import UserError, run
from utils.media.write import VideoWriter

SMALL = "-ngf 4 -max_channels 12 -n_downsample_G 4 -nff 4 -n_downsample_F 2 -n_blocks_F 1 -ndf 4 -n_layers_D 2".split()
SHORT = "-steps 2 -batchSize 2 -nThreads 0 -n_shot 2 -cuda false -norm group".split()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return make_static_store(tmp_path_factory.mktemp("store") / "heads.h5")


@pytest.fixture
def no_faces(monkeypatch) -> None:
    """dlib would look long for faces in drawings and in what an untrained network makes."""
    nothing = np.float32(np.nan)
    monkeypatch.setattr(scores, "detect_landmarks", lambda _, frames: np.full((len(frames), 68, 2), nothing))


def train(store: Path, folder: Path, *options) -> int:
    flags = ["--dataroot", store, "-splits", store.parent / "splits", "--name", "net", "-model_dir", folder]
    flags += ["-sample_dir", folder / "samples", *SMALL, *SHORT, *options]
    return run(
        lambda args: rhythmic.launch(rhythmic.train, args),
        lambda: rhythmic.parse_args([str(x) for x in flags]),
    )


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert train(store, folder, "-landmark_flow", "-label_skips") == 0
    return folder


def test_training_leaves_weights_a_state_and_pictures(trained):
    network = load_model(trained / "net.safetensors", expect=RhythmicNet)
    assert network.config["widths"] == [4, 8, 12, 12, 12] and network.config["landmark_flow"]
    assert network.metadata["crop_ref"] is True and network.metadata["shots"] == [1, 2]
    assert {"face", "frame", "ani_face"} <= network.metadata["validation"].keys()
    assert [path.name for path in (trained / "samples").iterdir()] == ["net_0000002.png"]
    assert (trained / "net_state.pt").is_file() and (trained / "net_last.safetensors").is_file()


def test_resumed_training_is_the_uninterrupted_one(store, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert train(store, whole, "-steps", 4) == 0
    assert train(store, halves, "-steps", 2) == 0 and train(store, halves, "-steps", 4) == 0
    one, other = (load_model(folder / "net_last.safetensors").state_dict() for folder in (whole, halves))
    assert all(torch.allclose(one[name], other[name], rtol=0, atol=1e-6) for name in one)


@pytest.mark.parametrize(
    "options",
    [
        ["--warp_ani", "false"],
        ["--spade_combine", "false"],
        ["--warp_ref", "false", "--warp_ani", "false"],
        ["--no_warp", "--no_atten", "--use_new", "false"],
        ["--crop_ref", "false", "-adversarial_weight", 0, "-matching_weight", 0],
    ],
)
def test_ablations_train(store, tmp_path, options):
    assert train(store, tmp_path, "-steps", 1, *options) == 0


def test_the_readmes_command_is_understood(tmp_path):
    command = (
        "--name face8_vox_ani_nonlinear_continue --dataset_mode facefore --adaptive_spade --warp_ref --warp_ani "
        "--spade_combine --add_raw_loss --gpu_ids 0,1 --batchSize 56 --nThreads 64 --niter 100 --niter_single 100 "
        "--n_shot 8 --n_frames_G 1 --dataroot /mnt/voxceleb2 --dataset_name vox --save_epoch_freq 1 "
        "--display_freq 1000 --continue_train --crop_ref --use_new"
    )
    args = rhythmic.parse_args(command.split())
    assert args.model_name == "face8_vox_ani_nonlinear_continue" and args.device_ids == "0,1"
    assert (args.batch_size, args.num_thread, args.n_shot, args.dataset) == (56, 64, 8, "grid")
    rhythmic.count_steps(args, 1000)
    assert args.steps == 100 * 18 and args.validate_every == 18


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n_frames_G", "2"], "one by one"),
        (["--niter", "10", "--niter_single", "5"], "no training over time"),
        (["--niter", "10", "-steps", "7"], "in place of -steps"),
        (["-perceptual_weight", "3"], "-vgg"),
        (["--dataset_mode", "fewshot_face"], "invalid choice"),
    ],
)
def test_what_has_no_meaning_is_said(options, said):
    with pytest.raises(UserError, match=said):
        rhythmic.parse_args(options)


def test_stores_that_do_not_fit_are_refused(store, trained, tmp_path, capsys):
    assert train(store, tmp_path, "-n_downsample_G", 7) == 2
    assert "halved 7 times" in capsys.readouterr().err
    aligned = make_head_store(tmp_path / "aligned.h5")
    assert train(aligned, tmp_path, "-splits", aligned.parent / "splits", "-n_downsample_G", 4) == 2
    assert "--crop static" in capsys.readouterr().err
    assert train(store, trained, "--continue_train", "false") == 2
    assert "holds a run" in capsys.readouterr().err


def test_a_table_of_clips(store, trained, tmp_path, capsys, no_faces):
    flags = ["--name", "net", "-model_dir", trained, "--dataroot", store, "-splits", store.parent / "splits"]
    flags += ["--n_shot", "1,2", "-frames", 3, "-cuda", "false", "-sample_dir", tmp_path / "out", "--example"]
    flags += ["-composition", trained / "net_last.safetensors", "--finetune", "-finetune_seconds", 0.01]
    code = run(rhythmic_test.main, lambda: rhythmic_test.parse_args([str(flag) for flag in flags]))
    assert code == 0
    results = json.loads((tmp_path / "out/metrics.json").read_text())
    names = (
        rows.REPEATED,
        rows.MOVED,
        rows.WARPED,
        rows.BOTH,
        rows.FULL,
        rows.NO_ANI,
        "non-linear composition",
        rows.TUNED,
    )
    for name in names:
        assert results["rows"][f"{name}, K = 2"]["psnr"] > 0
    assert "face_psnr_gain" in results["definitions"] and results["references"] == [1, 2]
    assert len((tmp_path / "out/clips.csv").read_text().splitlines()) == 1 + 2 * 9
    assert (tmp_path / "out/K2/s1_clip4/test.mp4").is_file()
    captured = capsys.readouterr()
    assert "no meaning here" in captured.err and "K = 2" in captured.out


def test_flags_that_contradict_the_weights_are_refused(trained, capsys):
    base = ["--name", "net", "-model_dir", str(trained), "-cuda", "false", "--tgt_video_path", "none.mp4"]
    for options, said in (
        (["--no_atten"], "trained with false"),
        (["--which_epoch", "30"], "best or latest"),
        (["--tgt_rt_path", "x.npy"], "poses are fitted"),
        (["--n_frames_G", "3"], "one by one"),
    ):
        assert run(rhythmic_test.main, lambda options=options: rhythmic_test.parse_args(base + options)) == 2
        assert said in capsys.readouterr().err
    args = rhythmic_test.parse_args([*base, "--which_epoch", "latest", "--warp_ani", "false", "--warp_ref"])
    networks = rhythmic_test.load_networks(args, torch.device("cpu"))
    assert set(networks) == {rows.FULL} and networks[rows.FULL].flow_ani is None


def networks_without(folder: Path, *more: str, **options: object) -> dict[str, RhythmicNet]:
    """What `--warp_ani false` makes of weights with these options"""
    save_model(folder / "small.safetensors", small(**options))
    flags = ["-model_name", str(folder / "small.safetensors"), "--warp_ani", "false", "--no_network", "false"]
    return rhythmic_test.load_networks(rhythmic_test.parse_args([*flags, *more]), torch.device("cpu"))


@pytest.mark.parametrize("trained_with", [True, False])
def test_the_moved_head_is_left_out_of_weights_with_it_and_without(tmp_path, trained_with):
    networks = networks_without(tmp_path, warp_ani=trained_with)
    assert set(networks) == {rows.FULL} and not networks[rows.FULL].config["warp_ani"]
    save_model(tmp_path / "other.safetensors", small(1, warp_ani=False))
    more = ["-without_ani", str(tmp_path / "other.safetensors")]
    both = networks_without(tmp_path, *more, warp_ani=trained_with)
    assert set(both) == {rows.FULL, rows.NO_ANI}
    one, other, own = (net.state_dict() for net in (both[rows.FULL], both[rows.NO_ANI], networks[rows.FULL]))
    assert all(torch.equal(one[name], tensor) for name, tensor in own.items())
    assert not all(torch.equal(one[name], tensor) for name, tensor in other.items())


def test_weights_that_warp_nothing_else_keep_the_moved_head(tmp_path):
    nothing = dict(warp_ref=False, warp_ani=False, spade_combine=False, add_raw_loss=False)
    with pytest.raises(UserError, match=r"small\.safetensors: .*leave --warp_ani false out"):
        networks_without(tmp_path, warp_ref=False)
    assert set(networks_without(tmp_path, **nothing)) == {rows.FULL}


def write_video(path: Path, seed: int, frames: int = 30) -> tuple[Path, Path]:
    """A drawn head that moves, with sound, and its landmarks beside"""
    clip, _ = moving_clip(seed, frames, size=160)
    import cv2

    with VideoWriter(path, (160, 160), audio=16000 if seed == 1 else None) as video:
        for number, code in enumerate(clip.pictures):
            picture = cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            video.write(np.ascontiguousarray(picture))
            if seed == 1:  # the other one is silent
                video.write_audio(clip.audio[number * 640 : (number + 1) * 640])
    np.save(path.with_suffix(".npy"), clip.landmarks)
    return path, path.with_suffix(".npy")


def test_a_video_with_somebody_elses_motion(trained, tmp_path, capsys, no_faces):
    (target, points), (person, own) = (write_video(tmp_path / f"{seed}.mp4", seed) for seed in (1, 2))
    flags = ["--name", "net", "-model_dir", trained, "-cuda", "false", "-sample_dir", tmp_path / "out"]
    flags += [
        "--tgt_video_path",
        target,
        "--tgt_lmarks_path",
        points,
        "--ref_img_id",
        "0,7",
        "--ref_ani_id",
        3,
    ]
    flags += ["--ref_video_path", person, "--ref_lmarks_path", own, "-frames", 5]
    code = run(rhythmic_test.main, lambda: rhythmic_test.parse_args([str(flag) for flag in flags]))
    assert code == 0, capsys.readouterr().err
    assert (tmp_path / "out/2/test.mp4").is_file() and "pose error" in capsys.readouterr().out


def test_videos_are_read_once_for_all_numbers_of_references(tmp_path, monkeypatch, no_faces):
    (target, points), (person, own) = (write_video(tmp_path / f"{seed}.mp4", seed) for seed in (1, 2))
    reads, judges = [], []

    def read(video, *more):
        reads.append(video)
        return read_single(video, *more)

    def judge():
        judges.append(1)
        return Judge()

    monkeypatch.setattr(rhythmic_test, "read_single", read)
    monkeypatch.setattr(rhythmic_test, "Judge", judge)
    flags = ["--no_network", "-cuda", "false", "-sample_dir", tmp_path / "out", "-frames", 2]
    flags += ["--tgt_video_path", target, "--tgt_lmarks_path", points, "--n_shot", "1,2"]
    flags += ["--ref_video_path", person, "--ref_lmarks_path", own]
    assert run(rhythmic_test.main, lambda: rhythmic_test.parse_args([str(flag) for flag in flags])) == 0
    assert reads == [target, person] and len(judges) == 1
    assert (tmp_path / "out/K1/2/test.mp4").is_file() and (tmp_path / "out/K2/2/test.mp4").is_file()


def test_a_mute_video_needs_no_file_of_silence(tmp_path, monkeypatch):
    video, landmarks = write_video(tmp_path / "mute.mp4", 2, frames=60)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    arrays = read_single(video, 64, 1.0, None, landmarks)
    assert len(arrays.pictures) == 25 and arrays.audio.shape == (25 * 640,) and not arrays.audio.any()
    points = np.load(landmarks)
    points[:25] = np.nan  # no face in the first second: the next one is silent too
    np.save(landmarks, points)
    assert read_single(video, 64, 1.0, None, landmarks).metadata["first_frame"] == "25"


def test_fine_tuning_comes_nearer_to_the_person(store, trained):
    clips = ClipStore(store)
    task = self_task(Track.of(clips[clips.ids[0]], PoseStore(default_path(store))), 1)
    network, person = load_model(trained / "net.safetensors"), task.person
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    frames = OwnFrames(person.images[:6], person.landmarks[:6], person.pose[:6], person.face)
    tuned, steps = fine_tune(network, frames, 0, 2e-3, steps=15)
    assert steps == 15 and all(torch.equal(before[name], one) for name, one in network.state_dict().items())
    errors = [np.abs(rows.with_network(one, task).astype(int) - task.true).mean() for one in (network, tuned)]
    assert errors[1] < 0.9 * errors[0]
