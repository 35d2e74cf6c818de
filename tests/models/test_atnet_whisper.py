"""AT-net on Whisper's features: windows joined without a jump, streamed as at once, in a file of its own."""

import numpy as np
import pytest
import torch

from animation.stream import Subject, landmark_stream, network_input, rechunk, sound_frames, whisper_stream
from models import WhisperATNet, WhisperEncoder, load_model, save_model
from models.atnet_whisper import BEFORE, FADE, STEP, WINDOW, recording_windows
from tests.synthetic import make_basis
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import TEMPLATE

ENCODER = dict(width=12, layers=1, heads=2)


def network() -> WhisperATNet:
    torch.manual_seed(0)
    made, basis = WhisperATNet(width=8, hidden=4, encoder=ENCODER).eval(), make_basis()
    made.set_basis(basis.mean, basis.components, basis.eigenvalues, basis.rest_opening)
    made.encoder.positions.normal_()
    return made


def speech(samples: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 640, 641, 16000, 16001, 31999, 48000, 64000 + 5, 100_000])
@pytest.mark.parametrize(("block", "chunk"), [(16000, 16), (333, 7)])
def test_streamed_equals_whole(samples, block, chunk):
    one, audio = network(), speech(samples)
    frames = -(-samples // 640)
    whole = one(torch.from_numpy(network_input(one, audio, frames))[None])[0].detach()
    blocks = (audio[start : start + block] for start in range(0, samples, block))
    pieces = list(whisper_stream(one, rechunk(sound_frames(blocks), chunk)))
    assert all(0 < len(piece) <= STEP for piece in pieces)
    streamed = torch.from_numpy(np.concatenate(pieces))
    assert len(streamed) == frames
    torch.testing.assert_close(streamed, whole, rtol=0, atol=1e-5)
    assert frames < 3 or whole.std(0).max() > 1e-3


def test_landmarks_are_the_coefficients_on_the_face():
    one, audio = network(), speech(40_000)
    subject = Subject.from_crop(LandmarkBasis.of(one), TEMPLATE, 128)
    rows = network_input(one, audio, 63)
    streamed = np.concatenate(list(landmark_stream(one, subject, [rows[:20], rows[20:]])))
    whole = one(torch.from_numpy(rows)[None])[0].detach().numpy()
    np.testing.assert_allclose(streamed, subject.landmarks(whole), atol=1e-5)


def test_memory_does_not_grow_with_the_sound():
    """What is kept between two pieces is a window of sound, however long it has gone on."""
    one, longest = network(), 0
    one.stream = lambda window, state: (torch.zeros(1, STEP, 6), window)
    rows = (np.zeros((16, 640), np.float32) for _ in range(15_000 // 16))
    stream = whisper_stream(one, rows)
    for _ in range(400):
        next(stream)
        longest = max(longest, len(stream.gi_frame.f_locals["sound"]))
    assert longest <= WINDOW + 16


def test_a_window_hears_two_seconds_back_and_one_ahead():
    audio = torch.arange(60.0).view(1, 60, 1).expand(1, 60, 640)
    windows = recording_windows(audio)
    assert windows.shape == (1, 3, 64000)
    for number, window in enumerate(windows[0].view(3, WINDOW, 640)):
        frames = torch.arange(WINDOW) + STEP * number - BEFORE
        inside = (frames >= 0) & (frames < 60)
        assert torch.equal(window[inside, 0].long(), frames[inside]) and (window[~inside] == 0).all()


def test_neighbouring_windows_take_over_gradually():
    made = torch.stack([torch.zeros(WINDOW, 1), torch.ones(WINDOW, 1)])[None]
    joined, state = WhisperATNet.join(made)
    assert (joined[0, :STEP] == 0).all() and (joined[0, STEP + FADE :] == 1).all()
    assert (joined.diff(dim=1).abs() <= 1 / FADE).all()
    again, _ = WhisperATNet.join(1 + made[:, :1], state)
    assert again[0, 0] == 1 and state.shape == (1, 1, FADE, 1)


def test_it_travels_in_one_file_and_takes_an_encoder_of_more_positions(tmp_path):
    one, encoder = network(), WhisperEncoder(**ENCODER, positions=300)
    encoder.positions.normal_()
    one.set_encoder(encoder)
    save_model(tmp_path / "w.safetensors", one)
    loaded, audio = load_model(tmp_path / "w.safetensors"), torch.randn(1, 30, 640)
    assert torch.equal(loaded(audio), one(audio))
    assert torch.equal(loaded.encoder.positions, encoder.positions[: 2 * WINDOW])


def test_only_the_head_learns():
    one = network()
    one(torch.randn(1, 30, 640)).sum().backward()
    learning = {name.split(".")[0] for name, weight in one.named_parameters() if weight.grad is not None}
    assert learning == {"head"}


def test_a_gain_moves_further_from_rest():
    one, audio = network(), torch.randn(1, 30, 640)
    basis, motions = LandmarkBasis.of(one), []
    for gain in (0.0, 1.0, 1.5):
        one.config["gain"] = gain
        motions.append(basis.reconstruct(one(audio)[0].detach().numpy()))
    assert abs(motions[0]).max() < 1e-6
    np.testing.assert_allclose(motions[2], 1.5 * motions[1], atol=1e-6)
