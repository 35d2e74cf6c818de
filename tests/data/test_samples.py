"""Training samples: their order, shapes, and augmentation that keeps landmarks on their pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data.atnet import SpeechSamples, silence_stretch
from data.augment import augment_portraits, mirror, reshape_face
from data.loader import Sampling, StepSampler
from data.store import ClipStore
from data.vgnet import PortraitSamples
from tests.synthetic import make_basis, make_store
from utils.face.landmarks import TEMPLATE, normalise


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    return ClipStore(make_store(tmp_path_factory.mktemp("store") / "grid.h5", clips=5))


def test_sample_shapes(store):
    speech = SpeechSamples(store, store.ids, make_basis(), frames=8, seed=0)[3]
    assert {n: tuple(x.shape) for n, x in speech.items()} == {
        "audio": (8, 28, 12),
        "example": (6,),
        "target": (8, 6),
    }
    portrait = PortraitSamples(store, store.ids, frames=5, seed=0)[3]
    assert portrait["frames"].shape == (5, 3, 128, 128) and portrait["example_image"].shape == (3, 128, 128)
    assert portrait["landmarks"].shape == (5, 136) and portrait["example_landmarks"].shape == (136,)
    assert -1 <= portrait["frames"].min() < -0.2 and 0.2 < portrait["frames"].max() <= 1


@pytest.mark.parametrize("kind", [SpeechSamples, PortraitSamples])
def test_a_sample_is_a_function_of_seed_and_number(kind, store):
    def sample(seed, number):
        extra = (make_basis(),) if kind is SpeechSamples else ()
        return kind(store, store.ids, *extra, frames=6, seed=seed)[number]

    first, again = sample(0, 7), sample(0, 7)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], sample(1, 7)[name]) for name in first)
    assert any(not torch.equal(first[name], sample(0, 8)[name]) for name in first)


def test_processes_share_a_step_without_overlap():
    whole = list(StepSampler(3, 6, batch_size=4))
    halves = [list(StepSampler(3, 6, batch_size=2, rank=rank, world=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*halves, strict=True)] == whole
    assert list(StepSampler(5, 6, batch_size=4)) == whole[2:]


def test_sampling_balances_speakers(store):
    def share(power):
        sampling = Sampling(store, store.ids, 8, seed=0, power=power)
        return np.mean([sampling.draw(n)[0].startswith("s1/") for n in range(600)])

    assert share(1.0) == pytest.approx(3 / 5, abs=0.06) and share(0.0) == pytest.approx(1 / 2, abs=0.06)


def dots(points: np.ndarray, size: int = 128) -> torch.Tensor:
    """An image (1, 3, size, size) with a bright dot at each of the points (N, 2)"""
    y, x = np.mgrid[:size, :size]
    image = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 4) for px, py in points)
    return torch.from_numpy(np.clip(image, 0, 1).astype(np.float32) * 2 - 1).expand(1, 3, -1, -1)


@pytest.mark.parametrize("change", ["mirror", "reshape"])
def test_landmarks_stay_on_their_pixels(change):
    chosen = [8, 19, 30, 36, 48, 57]
    images, landmarks = dots(TEMPLATE[chosen]), torch.from_numpy(normalise(TEMPLATE))[None]
    for seed in range(5):
        if change == "mirror":
            moved, points = mirror(images, landmarks)
            points = points.view(68, 2)[[8, 24, 30, 45, 54, 57]]  # the same places after the flip
        else:
            moved, points = reshape_face(images, landmarks, np.random.default_rng(seed))
            points = points.view(68, 2)[chosen]
        grid = points.view(1, 1, -1, 2)
        assert (
            torch.nn.functional.grid_sample(moved, grid, align_corners=False).min() > 0.5
        )  # resampling blurs
        assert change == "mirror" or (points * 64 + 63.5 - torch.tensor(TEMPLATE[chosen])).abs().max() > 0.5


def test_example_and_targets_change_alike():
    image = torch.rand(1, 3, 64, 64).expand(3, -1, -1, -1) * 2 - 1
    landmarks = torch.from_numpy(normalise(TEMPLATE)).expand(3, -1)
    images, points = augment_portraits(image, landmarks, np.random.default_rng(4))
    assert torch.equal(images[0], images[2]) and torch.equal(points[0], points[2])
    assert not torch.equal(images[0], image[0])


def test_a_muted_stretch_is_at_rest():
    samples, target = np.ones(640 * 14 + 240, np.float32), np.ones((8, 136), np.float32)
    changed = 0
    for seed in range(60):
        sound, moved = silence_stretch(samples, target, np.random.default_rng(seed))
        quiet = sound.min() == 0
        changed += quiet
        assert quiet or (sound == 1).all()
        if moved[-1, 0] == 0:
            assert quiet and sound[640 * 10] == 0
    assert 2 <= changed <= 25


def test_some_voices_stay_as_they_were_recorded(store, monkeypatch):
    monkeypatch.setattr("data.atnet.silence_stretch", lambda samples, target, random: (samples, target))
    changed, plain = (
        SpeechSamples(store, store.ids, make_basis(), frames=8, seed=0, augment=one) for one in (True, False)
    )
    same = [torch.equal(changed[n]["audio"], plain[n]["audio"]) for n in range(60)]
    assert 12 < sum(same) < 36  # four of ten, of 60


def test_real_sound_and_motion_belong_together(store):
    """Without augmentation a sample's loudest windows are those of its most open mouth."""
    samples = SpeechSamples(store, store.ids, make_basis(), frames=20, seed=0, augment=False)
    correlations = []
    for number in range(6):
        sample = samples[number]
        opening = make_basis().reconstruct(sample["target"].numpy()).reshape(-1, 68, 2)[:, 66, 1]
        tonality = sample["audio"][:, 12:16].std(dim=-1).mean(-1).numpy()
        correlations.append(np.corrcoef(opening, tonality)[0, 1])
    assert np.mean(correlations) > 0.5


def test_too_short_clips_are_an_error_that_says_so(store):
    from utils.errors import UserError

    with pytest.raises(UserError, match="no training clip has 99 frames"):
        PortraitSamples(store, store.ids, frames=99, seed=0)
    assert Path(store.path).name == "grid.h5"
