import numpy as np
import pytest
import torch

from data.heads.poses import PoseStore, default_path
from data.heads.rhythmic import RhythmicFrames
from data.loader import step_loader
from data.store import ClipStore
from models.head3d.head import Head, turn_between
from tests.heads import make_static_store
from training import heads
from training.heads import LARGEST, RhythmicSamples, Window, draw_turn, make_sample, mirrored, sampled, turned
from utils.face.mean_face import MEAN_FACE
from utils.face.pose import fit_pose


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    store = ClipStore(make_static_store(tmp_path_factory.mktemp("store") / "heads.h5"))
    return RhythmicFrames(store, PoseStore(default_path(store.path)), store.ids, (1, 3), 0, together=2)


def heads_of(frames, number=0):
    drawn = frames.draw(number)
    pairs = enumerate(zip(drawn.images, drawn.landmarks, strict=True))
    return [Head(image / 127.5 - 1, points, drawn.pose[i : i + 1], MEAN_FACE) for i, (image, points) in pairs]


def test_batches_have_the_shapes_that_are_promised_and_repeat(frames):
    samples = RhythmicSamples(frames, augment=True)
    batches = [list(step_loader(samples, 3, 6, 2, 0)) for _ in range(2)]
    for one, other in zip(*batches, strict=True):
        count = one["ref_images"].shape[1]
        assert one["image"].shape == one["ani_image"].shape == (2, 3, 64, 64)
        assert one["ref_images"].shape == (2, count, 3, 64, 64) and one["ref_landmarks"].shape == (
            2,
            count,
            68,
            2,
        )
        assert one["image"].dtype == torch.uint8 and one["landmarks"].shape == (2, 68, 2)
        assert one["colour"].shape == (2, 6) and (one["warp"] < count).all()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_unaugmented_samples_are_the_stores_frames(frames):
    drawn, sample = frames.draw(4), RhythmicSamples(frames, augment=False)[4]
    assert (sample["image"].int() - drawn.images[-1].int()).abs().max() <= 1
    assert (sample["ref_images"].int() - drawn.images[:-1].int()).abs().max() <= 1
    np.testing.assert_allclose(sample["landmarks"], drawn.landmarks[-1], atol=1e-3)
    distances = turn_between(drawn.pose[:-1], drawn.pose[-1:])
    assert sample["warp"] == distances.argmin()


def test_target_and_moved_head_share_one_crop(frames):
    """The reference is the target itself: moved to its own pose it is the target, wherever the crop lies."""
    (*_, target), random = heads_of(frames), np.random.default_rng(0)
    windows = [Window(np.array([5.0, -3.0]), 0.9), Window(np.array([1.5, 4.0]), 0.85)]
    pose = draw_turn(target.rest, random)
    sample = make_sample([target], target, target.rest, windows, random, hard=True)
    assert torch.equal(sample["image"], sample["ani_image"])
    np.testing.assert_allclose(sample["landmarks"], sample["ani_landmarks"], atol=1e-4)
    np.testing.assert_allclose(sample["landmarks"], windows[1].points(target.landmarks), atol=1e-3)
    np.testing.assert_allclose(sample["ref_landmarks"][0], windows[0].points(target.landmarks), atol=1e-3)
    turned_sample = make_sample([target], target, pose, windows, random, hard=True)
    assert (turned_sample["ani_landmarks"] - sample["landmarks"]).abs().max() > 0.5


def test_landmarks_follow_pictures_through_a_window():
    y, x = torch.meshgrid(*[torch.arange(64.0)] * 2, indexing="ij")
    window = Window(np.array([3.0, -2.0]), 0.9)
    seen = sampled(torch.stack([x, y, x]), window.sampling(64))
    column, row = window.points(np.array([[30.0, 25.0]]))[0]
    found = seen[:2, round(float(row)), round(float(column))]
    expected = np.round([column, row]) * 0.9 + [3.0, -2.0]
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_turned_heads_have_the_pose_that_was_drawn(frames):
    head = heads_of(frames)[0]
    for seed in range(5):
        made = turned(head, np.random.default_rng(seed))
        angle = np.degrees(turn_between(head.rest, made.rest))[0]
        assert 0 <= angle <= LARGEST + 1e-6
        assert np.degrees(turn_between(fit_pose(made.landmarks[None]), made.rest))[0] < 1.5
        assert made.image.shape == head.image.shape


def test_mirrored_twice_is_the_sample_itself(frames):
    sample = RhythmicSamples(frames, augment=False)[1]
    once = mirrored(sample)
    assert torch.equal(once["image"], sample["image"].flip(-1))
    nose, left = once["landmarks"][30, 0], once["landmarks"][36, 0]
    assert left < nose  # the left eye is on the left again
    twice = mirrored(once)
    assert all(torch.allclose(twice[name].float(), sample[name].float(), atol=1e-5) for name in sample)


def test_most_targets_are_turned(frames, monkeypatch):
    asked = []
    true = heads.make_sample

    def spy(references, target, pose, *rest):
        asked.append(np.degrees(turn_between(target.rest, pose))[0])
        return true(references, target, pose, *rest)

    monkeypatch.setattr(heads, "make_sample", spy)
    samples = RhythmicSamples(frames, augment=True)
    for number in range(20):
        samples[number]
    assert 5 < sum(angle > 0.5 for angle in asked) < 18 and max(asked) > 8
