"""NR-net: one pass as window by window, in pieces as at once, the original's weights, and its windows."""

import numpy as np
import pytest
import torch

import convert
from animation.stream import SpeechStream
from animation.whole_faces import WholeFaceSubject, faces_of, hear, motion_of
from models import ATNet, NRNet, load_model, save_model
from models.nrnet import STEP, WINDOW
from models.original.networks import SPCH2FLM, SPCH2FLMTC
from utils.audio.raw_speech import (
    LOOK_AHEAD,
    SPEECH_RATE,
    SPEECH_STEP,
    SPEECH_WINDOW,
    Loudness,
    SpeechWindows,
    set_level,
    speech_context,
    speech_windows,
)
from utils.errors import run
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import TEMPLATE, normalise

SMALL = dict(components=6, filters=2)


def network(seed: int = 0, **options) -> NRNet:
    torch.manual_seed(seed)
    model = NRNet(**(SMALL | options)).eval()
    if model.temporal:
        model.fc2.weight.data *= 0.5  # random ones would make the frames grow without end
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(model.landmark_mean), 6)))[0]
    model.set_basis(0.01 * np.ones(len(basis)), basis, np.ones(6), 0.02)
    return model


def speech(frames: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, round(320 * frames)).astype(np.float32)


def test_sizes_are_the_papers():
    assert sum(p.numel() for p in NRNet().parameters()) == 3_989_766
    assert sum(p.numel() for p in NRNet(temporal=True).parameters()) == 3_989_844
    assert (STEP, WINDOW) == (SPEECH_STEP, SPEECH_WINDOW) == (320, 2240)
    assert pytest.approx(0.12) == LOOK_AHEAD


def test_windows_are_centred_and_zero_beyond_the_ends():
    sound = np.arange(1, 320 * 9 + 1, dtype=np.float32)
    windows = speech_windows(sound, 9)
    assert windows.shape == (9, 2240)
    for t in range(9):
        own = windows[t, 960:1280]
        np.testing.assert_array_equal(own, sound[320 * t : 320 * (t + 1)])
    assert not windows[0, :960].any() and not windows[8, 1280:].any()
    np.testing.assert_array_equal(speech_windows(sound, 4, start=3), windows[3:7])


@pytest.mark.parametrize("width", [21, 8, 5])
def test_one_pass_equals_window_by_window(width):
    model, sound = network(width=width), speech(11)
    with torch.no_grad():
        whole = model(torch.from_numpy(speech_context(sound, 11))[None]).coefficients[0]
        windows = torch.from_numpy(speech_windows(sound, 11))
        single = torch.cat([model(window[None]).coefficients[0] for window in windows])
    torch.testing.assert_close(whole, single, rtol=0, atol=1e-5)


def test_a_temporal_network_goes_on_from_its_own_frames():
    model, sound = network(temporal=True), torch.from_numpy(speech_context(speech(8), 8))[None]
    with torch.no_grad():
        made = model(sound).coefficients
        before = torch.cat([model.initial[None, None], made[:, :-1]], dim=1)
        torch.testing.assert_close(model(sound, before).coefficients, made, rtol=0, atol=1e-5)
        never, always = torch.zeros(1, 8, dtype=torch.bool), torch.ones(1, 8, dtype=torch.bool)
        true = torch.randn(1, 8, 6)
        true[:, 0] = model.initial
        forced, free = model(sound, true, never).coefficients, model(sound, true, always).coefficients
    torch.testing.assert_close(forced, model(sound, true).coefficients, rtol=0, atol=1e-5)
    torch.testing.assert_close(free, made, rtol=0, atol=1e-5)


@pytest.mark.parametrize("temporal", [False, True])
@pytest.mark.parametrize("length", [0.3, 1, 3.5, 12.1])
def test_streamed_equals_whole(temporal, length):
    model, sound = network(temporal=temporal), speech(length)
    frames = -(-len(sound) // 320)
    whole = hear(model, sound, frames)
    assert whole.shape == (frames, 6)
    for size in (7, 320, 1000, 10**6):
        stream = SpeechStream(model)
        parts = [stream.push(sound[i : i + size]) for i in range(0, len(sound), size)] + [stream.finish()]
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_the_stream_is_120_ms_late_and_not_more():
    stream = SpeechWindows()
    assert len(stream.push(speech(3.99))) == 0
    assert len(stream.push(speech(0.01))) == 1  # four frames of sound: the first frame and 120 ms after it
    assert [len(stream.push(speech(1))) for _ in range(5)] == [1] * 5
    assert round(LOOK_AHEAD * SPEECH_RATE) == 3 * 320


def test_long_recordings_in_chunks_equal_batches():
    model = network(temporal=True)
    sounds = np.stack([speech(260, seed) for seed in (1, 2)])
    together = hear(model, sounds, 260)
    np.testing.assert_allclose(together[1], hear(model, sounds[1], 260), atol=1e-5)


def test_dropout_is_for_training_alone():
    model, sound = network(dropout=0.5), torch.from_numpy(speech(9))[None]
    torch.testing.assert_close(model(sound), model(sound), rtol=0, atol=0)
    model.train()
    assert not torch.equal(model(sound).coefficients, model(sound).coefficients)


def test_loudness_is_set_and_silence_stays():
    for level, measure in (("peak", np.abs), ("rms", lambda x: np.sqrt(np.mean(x**2)))):
        loud = set_level(0.01 * speech(5), level)
        assert measure(loud).max() == pytest.approx(1, abs=1e-5)
        assert not set_level(np.zeros(500, np.float32), level).any()
    blocks = np.split(speech(5), 5)
    assert Loudness.of(blocks).gain("rms") == pytest.approx(Loudness.of([speech(5)]).gain("rms"))


def test_a_network_comes_back(tmp_path):
    model = network(temporal=True, dimensions=3, space="face", level="peak")
    save_model(tmp_path / "n.safetensors", model)
    again = load_model(tmp_path / "n.safetensors", expect=NRNet)
    sound = torch.from_numpy(speech(9))[None]
    torch.testing.assert_close(again(sound), model(sound), rtol=0, atol=0)
    assert LandmarkBasis.of(again).space == "face" and faces_of(again, np.zeros((2, 6))).shape == (2, 68, 3)


def original_file(folder, temporal: bool, **widths):
    torch.manual_seed(0)
    original = (SPCH2FLMTC if temporal else SPCH2FLM)(**widths).eval()
    torch.save(original.state_dict(), folder / "original.pt")
    return original


def convert_file(folder, *options) -> int:
    arguments = [folder / "original.pt", folder / "out.safetensors", *options]
    return run(convert.main, lambda: convert.parse_args([str(one) for one in arguments]))


@pytest.mark.parametrize("temporal", [False, True])
@pytest.mark.parametrize("widths", [{}, dict(filters=4), dict(filters=4, width=9)])
def test_outputs_are_the_originals(temporal, widths, tmp_path):
    original = original_file(tmp_path, temporal, **widths)
    assert convert_file(tmp_path) == 0
    ours = load_model(tmp_path / "out.safetensors", expect=NRNet)
    windows = torch.from_numpy(speech_windows(speech(6), 6))
    condition, expected = torch.zeros(1, 6), []
    with torch.no_grad():
        for window in windows:
            made = original(window[None, None], *([condition] if temporal else []))
            expected.append(made)
            condition = made
    made = hear(ours, speech(6), 6)
    assert torch.cat(expected).std() > 1e-2
    np.testing.assert_allclose(made, torch.cat(expected).numpy(), atol=1e-5)


def basis_files(folder, dimensions: int = 3):
    """A basis about an average face as the release's files have it: rows, 204 numbers, face of norm 1"""
    flat = normalise(TEMPLATE).reshape(68, 2)
    face = np.concatenate([flat, 0.3 * (flat**2).sum(1, keepdims=True)], axis=1)[:, :dimensions]
    face = (face - face.mean(0)) / np.linalg.norm(face - face.mean(0))
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(68 * dimensions, 6)))[0].T
    np.save(folder / "eigen_vectors.npy", vectors.astype(np.float32))
    np.save(folder / "mean_shape.npy", face.reshape(1, -1).astype(np.float32))
    turned = 2.0 * face + 3.0
    np.save(folder / "mean.npy", turned)
    pca = ["--pca", folder / "eigen_vectors.npy", folder / "mean_shape.npy"]
    return [*pca, "--template", folder / "mean.npy"], face


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_originals_basis_comes_along(dimensions, tmp_path):
    original_file(tmp_path, True, filters=2)
    options, face = basis_files(tmp_path, dimensions)
    assert convert_file(tmp_path, *options) == 0
    ours = load_model(tmp_path / "out.safetensors")
    assert ours.config["dimensions"] == dimensions and ours.config["level"] == "peak"
    np.testing.assert_allclose(
        ours.initial, np.zeros(6), atol=1e-5
    )  # the template is the mean, moved and enlarged
    np.testing.assert_allclose(faces_of(ours, np.zeros((1, 6)))[0], face, atol=1e-6)


def test_whole_faces_move_a_photos_face(tmp_path):
    original_file(tmp_path, False, filters=2)
    options, face = basis_files(tmp_path)
    assert convert_file(tmp_path, *options) == 0
    ours = load_model(tmp_path / "out.safetensors")
    subject = WholeFaceSubject(ours, TEMPLATE, 128)
    np.testing.assert_allclose(
        subject.landmarks(np.zeros((1, 6), np.float32))[0], normalise(TEMPLATE), atol=1e-5
    )
    coefficients = np.eye(6, dtype=np.float32)[:1] * 0.05
    moved = motion_of(ours, coefficients, normalise(TEMPLATE)).reshape(68, 2)
    own = 0.05 * LandmarkBasis.of(ours).components[:, 0].reshape(68, 3)[:, :2]
    scale = np.ptp(TEMPLATE[:, 0]) / 64 / np.ptp(face[:, 0])
    np.testing.assert_allclose(moved, own * scale, atol=0.02 * np.abs(own * scale).max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc1.weight": torch.zeros(6, 99)}, "fc1.weight has the shape"),
        ({"conv2.weight": None}, "conv2.weight is missing"),
        ({"conv1.weight": torch.zeros(2, 3)}, "tensors of impossible shapes"),
        ({"extra": torch.zeros(1)}, "has no tensor extra"),
        ({"fc1.bias": torch.full((6,), torch.nan)}, "fc1.bias has numbers that are not finite"),
    ],
)
def test_damaged_originals_are_refused(change, message, tmp_path, capsys):
    state = original_file(tmp_path, False, filters=2).state_dict() | change
    torch.save({name: x for name, x in state.items() if x is not None}, tmp_path / "original.pt")
    assert convert_file(tmp_path) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out.safetensors").exists()


def test_mistaken_options_are_refused(tmp_path, capsys):
    original_file(tmp_path, False, filters=2)
    options, _ = basis_files(tmp_path)
    assert convert_file(tmp_path, "--template", tmp_path / "mean.npy") == 2
    assert "--template belongs to" in capsys.readouterr().err
    assert convert_file(tmp_path, "--recurrence", "time") == 2
    np.save(tmp_path / "eigen_vectors.npy", np.ones((6, 204)))
    assert convert_file(tmp_path, *options) == 2
    assert "not orthonormal" in capsys.readouterr().err


def test_other_networks_are_refused_by_name(tmp_path):
    save_model(tmp_path / "a.safetensors", network())
    with pytest.raises(Exception, match="holds the network NRNet, but ATNet is needed"):
        load_model(tmp_path / "a.safetensors", expect=ATNet)


def test_a_temporal_network_can_start_as_its_base():
    base, temporal, sound = network(), network(1, temporal=True), speech(9)
    temporal.start_from_base(base)
    np.testing.assert_allclose(hear(temporal, sound, 9), hear(base, sound, 9), atol=1e-6)
