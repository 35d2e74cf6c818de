"""Head motion of any length: seeds, pieces, where it begins, and that it stays within bounds."""

import numpy as np
import pytest
import torch

from data.heads.motion import sound_frames
from models import load_model, save_model
from models.headmotion.generative import HeadMotion
from models.headmotion.original import RotateAudio, SoundEncoder
from models.headmotion.stream import LIMITS, motion_stream, sound_motion_stream, within
from tests.heads import smooth_motion
from utils.audio.loudness import Levels


def tracks() -> list[torch.Tensor]:
    return [torch.from_numpy(smooth_motion(100, seed)) for seed in range(4)]


def loud() -> list[torch.Tensor]:
    return [torch.rand(100, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]


@pytest.fixture(scope="module")
def network() -> HeadMotion:
    """Random, but for the process that it begins with"""
    torch.manual_seed(0)
    network = HeadMotion(past=6, frames=20, width=8, rounds=1, steps=3).eval()
    network.fit(tracks(), loud())
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return network


def heard(frames: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-60, -10, frames).astype(np.float32)


def follow(network: HeadMotion, sound: np.ndarray, pieces: int = 1, seed: int = 0, **options) -> np.ndarray:
    return np.concatenate([*motion_stream(network, np.array_split(sound, pieces), seed, **options)])


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 20, 21, 50])
def test_pieces_do_not_matter_and_no_frame_is_lost(network, frames):
    whole = follow(network, heard(frames))
    assert whole.shape == (frames, 6) and whole.dtype == np.float32 and not whole[0].any()
    np.testing.assert_array_equal(follow(network, heard(frames), pieces=frames), whole)


def test_no_sound_is_no_motion(network):
    assert list(motion_stream(network, [np.zeros(0, np.float32)])) == []


def test_seeds(network):
    sound = heard(60)
    np.testing.assert_array_equal(follow(network, sound, seed=3), follow(network, sound, seed=3))
    assert np.abs(follow(network, sound, seed=3) - follow(network, sound, seed=4))[30:].mean() > 1e-3


def test_it_hears(network):
    sound = heard(60)
    assert np.abs(follow(network, sound) - follow(network, sound[::-1])).max() > 1e-4
    known = follow(network, sound, levels=Levels.of(sound))
    assert np.abs(known - follow(network, sound)).max() > 1e-6


def test_scale_and_limits(network):
    sound = heard(300)
    once, twice, wild = (follow(network, sound, scale=scale) for scale in (1.0, 2.0, 100.0))
    small = np.abs(twice) < 0.8 * LIMITS
    np.testing.assert_allclose(twice[small], 2 * once[small], rtol=1e-4, atol=1e-6)
    assert (np.abs(wild) < LIMITS * 1.0001).all() and np.isfinite(wild).all()


def test_limits_leave_what_is_small():
    motion = np.array([[0.1, -0.2, 0.3, 0.2, 0.0, -0.1], [9, -9, 0.45, 1, 1, 1]], np.float32)
    held = within(motion, LIMITS)
    np.testing.assert_array_equal(held[0], motion[0])
    assert (np.abs(held[1]) <= LIMITS).all() and (np.sign(held[1]) == np.sign(motion[1])).all()


def test_an_untrained_network_is_its_process(network):
    fresh = HeadMotion(past=6, frames=20, width=8, rounds=1).eval()
    fresh.fit(tracks(), loud())
    chance, past = torch.randn(2, 20, 6), torch.randn(2, 6, 6)
    loudness = torch.rand(2, 26, 3)
    made = fresh.go_on(chance, past, loudness)
    sizes = fresh.prior.sizes(loudness, fresh.config["emphasis"])
    torch.testing.assert_close(made, fresh.prior.motion(chance * sizes, past))


def test_a_file_rebuilds_it(network, tmp_path):
    save_model(tmp_path / "head.safetensors", network)
    loaded = load_model(tmp_path / "head.safetensors", expect=HeadMotion)
    np.testing.assert_allclose(follow(loaded, heard(50)), follow(network, heard(50)), atol=1e-6)


def test_the_original_streams_and_looks_back():
    torch.manual_seed(0)
    network = RotateAudio(past=8, frames=20, width=8, smoothing=5).eval()
    network.fit(tracks())
    sound = np.random.default_rng(0).normal(size=50 * 640).astype(np.float32)
    frames = sound_frames(sound, 0, 50)
    whole = np.concatenate([*sound_motion_stream(network, [frames])])
    pieces = np.concatenate([*sound_motion_stream(network, np.array_split(frames, 11))])
    assert whole.shape == (50, 6) and not whole[0].any() and np.abs(whole).max() > 0
    np.testing.assert_allclose(pieces, whole, atol=1e-6)
    changed = torch.from_numpy(frames.copy())[None]
    before = network.sound.smooth(changed)
    changed[:, 30:] = 0
    after = network.sound.smooth(changed)
    assert (before[:, :30] == after[:, :30]).all() and (before[:, 30:35] != after[:, 30:35]).any()


def test_convolving_once_is_convolving_windows():
    """As the original has it: windows of seven frames, each convolved by itself"""
    torch.manual_seed(0)
    encoder = SoundEncoder(width=4, smoothing=3, dropout=0.0).eval()
    sound = torch.randn(2, 16, 640)
    cut = encoder.smooth(sound).unfold(1, 7, 1).mT.flatten(0, 1)  # (2 x 10, 7, 640)
    x = torch.relu(encoder.second(torch.relu(encoder.first(cut.unsqueeze(1))))).flatten(1)
    each = encoder.over_time(x.unflatten(0, (2, 10)).mT).mT
    torch.testing.assert_close(encoder(sound), each, rtol=1e-4, atol=1e-5)


def test_the_papers_sizes():
    with torch.device("meta"):
        network = RotateAudio()
    assert network.map.out_features == 1542 and network.sound.over_time[0].in_channels == 30528
