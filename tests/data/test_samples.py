"""Training samples: their order, shapes, and augmentation that keeps landmarks on their pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import default_collate

from data.atnet import SpeechSamples, VoiceWindows, fall_silent, silence_stretch, speak_otherwise
from data.augment import augment, draw_changes, reshape_faces
from data.loader import Sampling, StepSampler, step_loader
from data.store import ClipStore
from data.vgnet import PortraitSamples
from tests.synthetic import make_basis, make_store
from utils.face.landmarks import MIRROR, TEMPLATE, normalise


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
    assert portrait["frames"].dtype == portrait["example_image"].dtype == torch.uint8
    networks = augment(default_collate([portrait]))["frames"]
    assert -1 <= networks.min() < -0.2 and 0.2 < networks.max() <= 1


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


def changes_of(seeds) -> dict[str, torch.Tensor]:
    return default_collate([draw_changes(np.random.default_rng(seed)) for seed in seeds])


def is_mirrored(changes: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.linalg.det(changes["affine"][..., :2]) < 0


def test_landmarks_stay_on_their_pixels():
    chosen = [8, 19, 30, 36, 48, 57]
    changes = changes_of(range(12))
    mirrored = is_mirrored(changes)
    assert 0 < mirrored.sum() < 12
    images, landmarks = dots(TEMPLATE[chosen])[None], torch.from_numpy(normalise(TEMPLATE))[None, None]
    moved, points = reshape_faces(images.repeat(12, 1, 1, 1, 1), landmarks.repeat(12, 1, 1), changes)
    for image, own, flipped in zip(moved, points.view(12, 68, 2), mirrored, strict=True):
        own = own[[8, 24, 30, 45, 54, 57] if flipped else chosen]  # the same places after the flip
        found = torch.nn.functional.grid_sample(image, own[None, None], align_corners=False)
        assert found.min() > 0.5  # resampling blurs
    assert (points - landmarks).abs().amax((1, 2)).max() > 0.5 / 64


def test_a_sample_that_is_only_mirrored_is_flipped_exactly():
    """And one that is not reshaped at all stays: resampling at pixel centres takes nothing off them."""
    changes = changes_of(range(40))
    plain = changes["bend"].abs().sum((1, 2, 3)) == 0
    assert 4 < plain.sum() < 20  # three of ten, of 40
    images = torch.rand(40, 2, 3, 32, 48) * 2 - 1
    landmarks = torch.from_numpy(normalise(TEMPLATE)).repeat(40, 2, 1)
    moved, points = reshape_faces(images, landmarks, changes)
    for flipped in (True, False):
        same = plain & (is_mirrored(changes) == flipped)
        assert same.any()
        expected = images[same].flip(-1) if flipped else images[same]
        torch.testing.assert_close(moved[same], expected, rtol=0, atol=1e-4)
        own, before = points[same].unflatten(-1, (68, 2)), landmarks[same].unflatten(-1, (68, 2))
        if flipped:
            before = before[:, :, list(MIRROR)] * torch.tensor([-1.0, 1.0])
        torch.testing.assert_close(own, before)


def test_a_batch_changes_as_its_samples_one_by_one(store):
    """Example and targets alike, whatever shares the batch, and under autocast as well."""
    samples = [PortraitSamples(store, store.ids, frames=3, seed=0)[number] for number in range(6)]
    for sample in samples:
        sample["frames"][1], sample["landmarks"][1] = sample["example_image"], sample["example_landmarks"]
    whole = augment(default_collate(samples))
    assert set(whole) == {"example_image", "example_landmarks", "frames", "landmarks"}
    assert torch.equal(whole["frames"][:, 1], whole["example_image"])
    assert torch.equal(whole["landmarks"][:, 1], whole["example_landmarks"])
    with torch.autocast("cpu", torch.bfloat16):
        ones = [augment(default_collate([sample])) for sample in samples]
    for name, values in whole.items():
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, torch.cat([one[name] for one in ones]), rtol=0, atol=1e-6)
        assert not torch.allclose(values[0], values[1])


def test_changing_a_batch_asks_the_device_for_nothing(store):
    """A fake tensor has no values: whatever wants to know one (item, tolist, a mask as an index) fails."""
    batch = default_collate([PortraitSamples(store, store.ids, frames=3, seed=0)[n] for n in range(2)])
    with FakeTensorMode() as mode:
        changed = augment({name: mode.from_tensor(tensor) for name, tensor in batch.items()})
    assert changed["frames"].shape == (2, 3, 3, 128, 128)


def test_processes_and_workers_make_the_same_batches(store, monkeypatch):
    samples = PortraitSamples(store, store.ids, frames=3, seed=0)

    def batches(rank, world, size, workers):
        monkeypatch.setattr("data.loader.rank", lambda: rank)
        monkeypatch.setattr("data.loader.world_size", lambda: world)
        return [augment(batch) for batch in step_loader(samples, 1, 3, size, workers)]

    whole, *halves = batches(0, 1, 4, 0), batches(0, 2, 2, 2), batches(1, 2, 2, 0)
    for batch, *parts in zip(whole, *halves, strict=True):
        for name, values in batch.items():
            torch.testing.assert_close(values, torch.cat([part[name] for part in parts]), rtol=0, atol=1e-6)


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


def test_a_window_of_voices_opens_the_mouth_where_it_is_loud(tmp_path):
    """The drawn faces are loud while their mouths are open: whatever changes voice and speed must keep that."""
    store = ClipStore(make_store(tmp_path / "store.h5", clips=4, frames=60))
    windows = VoiceWindows(store, store.ids, 100, seed=0)
    agreements, silent = [], 0
    for number in range(40):
        audio, motion = windows[number]
        assert (
            audio.shape == (64000,)
            and motion.shape == (100, 136)
            and audio.dtype == motion.dtype == np.float32
        )
        opening = motion.reshape(100, 68, 2)[:, 66, 1]
        silent += not motion.any()
        if opening.std() > 1e-3:
            loudness = np.log10((audio.reshape(100, 640) ** 2).mean(1) + 1e-6)
            agreements.append(np.corrcoef(loudness, opening)[0, 1])
    assert np.mean(agreements) > 0.4 and 0 < silent < 12
    again, _ = windows[39]
    assert np.array_equal(audio, again)


def test_motion_follows_a_changed_tempo():
    """A mouth that opens with the sound does so at every speed."""
    random = np.random.default_rng(0)
    motion = np.zeros((50, 136), np.float32)
    motion[20:30] = 1
    audio = np.repeat(motion[:, 0], 640) * random.normal(0, 0.1, 32000).astype(np.float32)
    for _ in range(8):
        spoken, moved = speak_otherwise(audio, motion, random)
        assert len(spoken) == 640 * len(moved)
        loud = (spoken.reshape(-1, 640) ** 2).mean(1) > 0.002
        assert abs(int(loud.argmax()) - int((moved[:, 0] > 0.5).argmax())) <= 1


def test_a_mouth_closes_in_silence_and_opens_after_it():
    audio, motion = np.ones(64000, np.float32), np.ones((100, 136), np.float32)
    muted = 0
    for seed in range(200):
        sound, moved = fall_silent(audio, motion, np.random.default_rng(seed))
        heard = sound.reshape(100, 640).any(1)
        assert (moved[heard] == 1).all()
        inside = np.convolve(~heard, np.ones(9), "same") == 9  # four frames and more within a silence
        assert not moved[inside].any()
        muted += not heard.all()
    assert 20 < muted < 70
