"""vgnet_test.py on a small store of a warped photo: files, determinism, baselines, and mistakes."""

import csv
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from skimage import data

import vgnet_test
from animation import clips
from animation.blinks import close_lids
from data.store import ClipStore
from data.store_writer import StoreWriter
from evaluation.rows import detect_landmarks, eye_scores
from models import ATNet, VGNet, save_model
from models.reading.reader import LipReader
from models.warp import landmark_warp
from tests.synthetic import make_basis, make_clip, save_nrnet
from utils.errors import run
from utils.face.alignment import apply_transform, crop_face, crop_transforms
from utils.face.detector import FaceDetector
from utils.face.landmarks import INNER_MOUTH, LOWER_INNER_LIP, TEMPLATE, normalise
from utils.media.images import to_network, to_tensor, to_uint8

FRAMES = 14
LOWER_LIP = [55, 56, 57, 58, 59, *LOWER_INNER_LIP]


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def photo_clip(detector: FaceDetector) -> tuple[np.ndarray, np.ndarray]:
    """The astronaut's face whose lower lip goes up and down: frames (T, 128, 128, 3), landmarks (T, 68, 2)"""
    photo = data.astronaut()
    points = detector.landmarks(photo, detector.detect(photo)[0])
    transform = crop_transforms(points[None])[0]
    image, points = crop_face(photo, transform, 128), apply_transform(transform, points)
    landmarks = np.repeat(points[None], FRAMES, 0)
    landmarks[:, LOWER_LIP, 1] += 6 * np.abs(np.sin(0.7 * np.arange(FRAMES)))[:, None]
    targets = torch.from_numpy(normalise(landmarks))[None]
    warped = landmark_warp(
        to_network(to_tensor(image))[None], torch.from_numpy(normalise(points))[None], targets
    )
    return to_uint8(warped[0]), landmarks


@pytest.fixture(scope="module")
def home(tmp_path_factory, detector) -> Path:
    """A store of two clips of the photo, lists, and small random networks"""
    folder = tmp_path_factory.mktemp("vgnet")
    frames, landmarks = photo_clip(detector)
    attributes = dict(fps=25, sample_rate=16000, size=128, template=TEMPLATE, parameters={}, versions={})
    writer = StoreWriter(folder / "store.h5", attributes)
    for number, step in enumerate((1, -1)):
        clip = make_clip(number, FRAMES)
        clip.landmarks = landmarks[::step]
        clip.pictures = [cv2.imencode(".png", frame[..., ::-1])[1].tobytes() for frame in frames[::step]]
        writer.add(f"s1/clip{number}", clip)
    writer.pack()
    (folder / "splits").mkdir()
    (folder / "splits" / "test.txt").write_text("s1/clip0\ns1/clip1\n")
    make_networks(folder)
    return folder


def make_networks(folder: Path) -> None:
    torch.manual_seed(0)
    at_net = ATNet(
        channels=(2, 2, 4, 4, 4), audio_features=(8, 8), example_features=(8, 8), hidden=8, layers=1
    )
    basis = make_basis()
    at_net.set_basis(basis.mean, basis.components, basis.eigenvalues, basis.rest_opening)
    save_model(folder / "atnet.safetensors", at_net)
    vg_net = VGNet(width=4, blocks=1, warp="landmark")
    torch.nn.init.constant_(vg_net.attention_head.bias, -9.0)  # the warped image alone
    save_model(folder / "vgnet.safetensors", vg_net)


def command(home: Path, out: Path, *more: str, model: str = "vgnet.safetensors") -> list[str]:
    places = ["-model_name", home / model, "--dataset_dir", home / "store.h5", "--splits", home / "splits"]
    return [str(one) for one in [*places, "-sample_dir", out, "-cuda", "false", *more]]


def evaluate(arguments: list[str]) -> int:
    return run(vgnet_test.main, lambda: vgnet_test.parse_args(arguments))


@pytest.fixture(scope="module")
def results(home, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("results") / "vgnet_test"
    more = [
        "--at_model",
        str(home / "atnet.safetensors"),
        "--videos",
        "1",
        "-paper_metrics",
        "-batch_size",
        "5",
    ]
    assert evaluate(command(home, out, *more)) == 0
    return out


def test_rows_say_what_is_known(results):
    report = json.loads((results / "metrics.json").read_text())
    rows = report["rows"]
    assert list(rows) == [vgnet_test.FROM_TRUTH, vgnet_test.FROM_SPEECH, vgnet_test.STATIC, vgnet_test.TRUTH]
    assert report["clips"] == 2 and report["frames"] == 2 * FRAMES and report["example"] == "rest"
    truth, static, warped = rows[vgnet_test.TRUTH], rows[vgnet_test.STATIC], rows[vgnet_test.FROM_TRUTH]
    assert truth["psnr"] == 100 and truth["ssim"] == 1 and truth["mouth_sharpness_ratio"] == 1
    assert truth["lmd_mouth"] == 0 and truth["opening_correlation"] == pytest.approx(1)
    assert (
        static["psnr_gain"] == 0 and static["lmd_mouth_ratio"] == 1 and static["opening_correlation"] is None
    )
    # A warp by the true landmarks moves the mouth nearly as the truth, which was made by such a warp.
    assert (
        warped["opening_correlation"] > 0.8
        and warped["mouth_psnr_gain"] > 1
        and warped["lmd_mouth_ratio"] < 0.6
    )
    assert {row["undetected"] for row in rows.values()} == {0}
    assert (
        static["identity"] == pytest.approx(1, abs=1e-3)
        and truth["identity"] > warped["identity"] - 0.02 > 0.9
    )
    assert truth["eyes_psnr"] is None  # nobody blinks
    assert 24 < static["paper_psnr"] < 100
    assert set(warped) <= set(report["definitions"])


def test_twice_the_same_numbers(home, results, tmp_path):
    more = [
        "--at_model",
        str(home / "atnet.safetensors"),
        "--videos",
        "0",
        "-paper_metrics",
        "-batch_size",
        "5",
    ]
    assert evaluate(command(home, tmp_path, *more)) == 0
    again, before = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path, results))
    assert again["rows"] == before["rows"]
    assert (tmp_path / "clips.csv").read_bytes() == (results / "clips.csv").read_bytes()


def test_csv_and_videos(results):
    with (results / "clips.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["clip"], line["row"]) for line in lines[3:5]] == [
        ("s1/clip0", vgnet_test.TRUTH),
        ("s1/clip1", vgnet_test.FROM_TRUTH),
    ]
    assert [path.name for path in sorted(results.glob("*.mp4"))] == ["s1_clip0.mp4"]
    with av.open(str(results / "s1_clip0.mp4")) as container:
        assert container.streams.audio and sum(1 for _ in container.decode(video=0)) == FRAMES


def test_chunks_equal_the_whole(home):
    clip = ClipStore(home / "store.h5")["s1/clip0"]
    args = vgnet_test.parse_args(command(home, home))
    networks = vgnet_test.Networks.load(args, 128, torch.device("cpu"))
    torch.nn.init.constant_(networks.vg_net.attention_head.bias, 0.0)
    landmarks = normalise(clip.landmarks)
    picture = clip.frames([0])[0].movedim(0, -1).numpy()
    whole, chunks = (
        clips.Example(picture, landmarks[0], length).animate(networks.vg_net, landmarks)
        for length in (FRAMES, 4)
    )
    assert np.abs(whole.frames.astype(int) - chunks.frames).max() <= 1


def test_larger_crops_are_composed_at_their_own_size(home):
    """A network that paints nothing: the composed frames are as sharp as the example, the enlarged ones are not."""
    args = vgnet_test.parse_args(command(home, home))
    networks = vgnet_test.Networks.load(args, 256, torch.device("cpu"))
    photo = data.astronaut()
    points = FaceDetector().landmarks(photo, FaceDetector().detect(photo)[0])
    transform = crop_transforms(points[None], 256)[0]
    picture, landmarks = crop_face(photo, transform, 256), normalise(apply_transform(transform, points), 256)
    made = clips.Example(picture, landmarks, 2).animate(networks.vg_net, landmarks[None].repeat(3, 0))
    assert made.frames.shape == made.plain.shape == made.still.shape == (3, 256, 256, 3)
    assert np.abs(made.frames.astype(int) - picture).mean() < 0.5
    assert np.abs(made.plain.astype(int) - picture).mean() > 1


def test_the_example_is_the_frame_nearest_rest(home):
    clip = ClipStore(home / "store.h5")["s1/clip1"]
    openings = clip.landmarks[:, INNER_MOUTH, 1].max(1) - clip.landmarks[:, INNER_MOUTH, 1].min(1)
    assert openings[clips.example_index(clip, 128, "rest")] < np.quantile(openings, 0.4)
    assert clips.example_index(clip, 128, "first") == 0


def test_landmark_noise_is_in_the_originals_units(home):
    store = ClipStore(home / "store.h5")
    clip = store[store.ids[0]]
    noise = clips.landmark_noise(clip, 0.1)
    assert noise.shape == (clip.length, 136) and not clips.landmark_noise(clip, 0.0).any()
    # 0.1 of a unit in which a face is 1.55 wide, in half image sizes
    breadth = np.ptp(normalise(TEMPLATE)[::2])
    assert noise.std() == pytest.approx(0.1 / 1.55 * breadth, rel=0.05)


def test_detection_in_crops_agrees_with_the_photo(detector):
    frames, landmarks = photo_clip(detector)
    found = detect_landmarks(detector, frames[:3])
    assert np.linalg.norm(found - landmarks[:3], axis=-1).mean() < 1.5
    assert np.isnan(detect_landmarks(detector, np.zeros((2, 128, 128, 3), np.uint8))).all()


def test_frames_without_a_face_are_counted(home, tmp_path, monkeypatch):
    unseen = np.full((68, 2), np.nan, np.float32)
    monkeypatch.setattr(FaceDetector, "track", lambda self, frames: np.stack([unseen for _ in frames]))
    assert evaluate(command(home, tmp_path, "--clips", "1", "--videos", "0")) == 0
    rows = json.loads((tmp_path / "metrics.json").read_text())["rows"]
    assert rows["ground truth"]["undetected"] == FRAMES and rows["ground truth"]["lmd_mouth"] is None
    assert rows[vgnet_test.FROM_TRUTH]["opening_gain"] is None and rows[vgnet_test.FROM_TRUTH]["psnr"] > 10


def test_blinks_are_measured(detector):
    """True eyes that shut against such that shut half, and against a still face"""
    still, landmarks = photo_clip(detector)
    closings = np.zeros(FRAMES, np.float32)
    closings[5:9] = 1
    example = normalise(landmarks[:1])
    frames, found = {}, {}
    for name, share in (("true", 1), ("half", 0.5), ("static", 0)):
        targets = torch.from_numpy(close_lids(np.repeat(example, FRAMES, 0), share * closings))[None]
        image = to_network(torch.from_numpy(still[0]).movedim(-1, 0))[None]
        frames[name] = to_uint8(landmark_warp(image, torch.from_numpy(example), targets)[0])
        found[name] = detect_landmarks(detector, frames[name])
    scores = {
        name: eye_scores(frames[name], frames["true"], found[name], found["true"], 0) for name in frames
    }
    assert scores["true"] == dict(eyes_psnr=100, eyes_correlation=pytest.approx(1), eyes_depth=1)
    assert scores["half"]["eyes_psnr"] > scores["static"]["eyes_psnr"] + 2
    assert 0.2 < scores["half"]["eyes_depth"] < 0.8 and scores["half"]["eyes_correlation"] > 0.8
    assert scores["static"]["eyes_depth"] < 0.2


def test_all_clips_of_any_store_without_lists(home, tmp_path, capsys):
    arguments = command(home, tmp_path, "--split", "all", "--videos", "0")
    arguments[arguments.index("--splits") + 1] = str(tmp_path / "absent")
    assert evaluate(arguments) == 0
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert (report["dataset"], report["split"], report["clips"]) == ("store", "all", 2)
    assert "store, all: 2 clips" in capsys.readouterr().out


def test_the_warp_alone_is_a_row_when_asked_for(home, tmp_path):
    """The network of these tests shows hardly more than the warped image, so that both rows nearly agree."""
    assert evaluate(command(home, tmp_path, "-still", "--clips", "1", "--videos", "1")) == 0
    rows = json.loads((tmp_path / "metrics.json").read_text())["rows"]
    assert list(rows) == [vgnet_test.FROM_TRUTH, vgnet_test.STILL, vgnet_test.STATIC, vgnet_test.TRUTH]
    still, whole = rows[vgnet_test.STILL], rows[vgnet_test.FROM_TRUTH]
    assert still["mouth_psnr_gain"] > 1 and still["opening_correlation"] > 0.8
    assert still["ssim"] == pytest.approx(whole["ssim"], abs=0.01)


def misuse(home: Path, folder: Path) -> dict[str, tuple[list[str], str]]:
    """Commands that must fail, each with what its message must name"""
    save_model(folder / "large.safetensors", VGNet(width=4, blocks=1, size=144))
    save_model(folder / "original.safetensors", VGNet(width=4, blocks=1), {"original": "VG_net"})
    (folder / "vgnet.safetensors").write_bytes((home / "vgnet.safetensors").read_bytes()[:3000])
    out, store = folder / "out", str(home / "store.h5")
    return {
        "no weights": (command(home, out, model="absent.safetensors"), "absent.safetensors"),
        "an AT-net": (command(home, out, model="atnet.safetensors"), "ATNet"),
        "damaged weights": (command(folder, out, "--dataset_dir", store), "vgnet.safetensors"),
        "smaller crops": (
            command(folder, out, "--dataset_dir", store, model="large.safetensors"),
            "144 pixels",
        ),
        "the original's units": (
            command(folder, out, "--dataset_dir", store, model="original.safetensors"),
            "original.safetensors: knows the original release's landmarks",
        ),
        "no number": (command(home, out, "-landmark_noise", "nan"), "-landmark_noise nan"),
        "no amount": (command(home, out, "-landmark_noise", "-0.1"), "-landmark_noise -0.1"),
        "no ratio": (command(home, out, "-snr", "nan"), "-snr nan"),
        "no AT-net": (command(home, out, "--at_model", str(home / "vgnet.safetensors")), "VGNet"),
        "no store": (command(home, out, "--dataset_dir", str(folder / "absent.h5")), "absent.h5"),
        "no such list": (command(home, out, "--split", "val"), "val"),
        "no chunk": (command(home, out, "-batch_size", "0"), "-batch_size"),
        "unwritable": (command(home, home / "vgnet.safetensors" / "out"), "vgnet.safetensors"),
    }


def test_mistakes_are_one_line_and_leave_nothing(home, tmp_path, capsys):
    for name, (arguments, named) in misuse(home, tmp_path).items():
        assert evaluate(arguments) == 2, name
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and named in error, (name, error)
        assert not list((tmp_path / "out").glob("*")), name


def test_nr_net_speaks_and_a_lip_reader_judges_all_rows(home, tmp_path, capsys):
    (tmp_path / "align/s1").mkdir(parents=True)
    for number in range(2):
        (tmp_path / f"align/s1/clip{number}.align").write_text(
            "0 5000 sil\n5000 10000 bin\n10000 13000 now\n"
        )
    torch.manual_seed(0)
    reader = LipReader(["bin", "now"], size=32, view=0.7, front=4, hearing=4, width=16, slots=8)
    with torch.no_grad():  # who takes every mouth for one word
        reader.backend.out.weight.zero_()
        reader.backend.out.bias.copy_(torch.tensor([1.0, 0.0]))
    save_model(tmp_path / "reader.safetensors", reader)
    save_nrnet(tmp_path / "nrnet.safetensors")
    more = ["--nr_model", tmp_path / "nrnet.safetensors", "--reader", tmp_path / "reader.safetensors"]
    more = [str(one) for one in [*more, "--videos", 1, "--clips", 2]]
    assert evaluate(command(home, tmp_path, *more, "-align", str(tmp_path / "align"))) == 0
    rows = json.loads((tmp_path / "metrics.json").read_text())["rows"]
    assert list(rows) == [vgnet_test.FROM_TRUTH, vgnet_test.FROM_NOISY, vgnet_test.STATIC, vgnet_test.TRUTH]
    assert all((row["words_read"], row["words_judged"]) == (0.5, 4) for row in rows.values())
    assert "words read" in capsys.readouterr().out and (tmp_path / "s1_clip0.mp4").is_file()
    capsys.readouterr()
    assert evaluate(command(home, tmp_path / "plain", *more[2:4])) == 2  # no times
    assert "reader.safetensors: knows no word of these clips with its time" in capsys.readouterr().err
    assert evaluate(command(home, tmp_path / "none", "-align", str(home), *more[2:4])) == 2
    assert "tells of none of these clips when words are said that the reader knows" in capsys.readouterr().err
