import numpy as np
import pytest
import torch

from data.heads.poses import PoseStore, default_path, write_poses
from data.heads.rhythmic import RhythmicFrames, reference_pool
from data.store import ClipStore
from tests.heads import make_head_store, make_static_store
from utils.errors import UserError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ClipStore(make_static_store(tmp_path_factory.mktemp("store") / "heads.h5"))


@pytest.fixture(scope="module")
def poses(store):
    return PoseStore(default_path(store.path))


def test_references_are_of_the_first_quarter_and_the_target_of_the_rest(store, poses):
    frames = RhythmicFrames(store, poses, store.ids[:1], (3, 3), seed=0)
    clip, seen = store[store.ids[0]], set()
    for number in range(30):
        drawn = frames.draw(number)
        places = [int(np.abs(clip.landmarks - one).sum((1, 2)).argmin()) for one in drawn.landmarks]
        assert len(set(places)) == 4 and max(places[:-1]) < 6 <= places[-1]
        np.testing.assert_allclose(drawn.pose.rotation, poses[clip.id].rotation[places])
        assert torch.equal(drawn.images, clip.frames(places))
        seen.add(places[-1])
    assert len(seen) > 8


def test_a_sample_is_a_function_of_its_number(store, poses):
    one, other = (RhythmicFrames(store, poses, store.ids, (1, 4), seed=3, together=2) for _ in range(2))
    for number in (5, 0, 11):
        a, b = one.draw(number), other.draw(number)
        assert torch.equal(a.images, b.images) and a.random.random() == b.random.random()
    assert one.draw(0).random.random() != one.draw(1).random.random()


def test_batches_have_as_many_references_in_each_sample(store, poses):
    frames = RhythmicFrames(store, poses, store.ids, (1, 4), seed=0, together=3)
    counts = [frames.count(number) for number in range(60)]
    assert all(len(set(counts[start : start + 3])) == 1 for start in range(0, 60, 3))
    assert set(counts) == {1, 2, 3, 4}
    assert all(len(frames.draw(number).images) == counts[number] + 1 for number in (0, 7, 20))


@pytest.mark.parametrize(("length", "count", "pool"), [(100, 8, 25), (20, 8, 8), (9, 8, 8), (4, 1, 1)])
def test_the_pool_is_a_quarter_or_as_many_as_are_needed(length, count, pool):
    assert reference_pool(length, count) == pool


def test_stores_whose_crops_follow_faces_are_refused(tmp_path):
    store = ClipStore(make_head_store(tmp_path / "aligned.h5"))
    with pytest.raises(UserError, match="--crop static"):
        RhythmicFrames(store, PoseStore(default_path(store.path)), store.ids, (1, 1), 0)


def test_poses_of_other_clips_are_refused(store, poses, tmp_path):
    short = {id: (poses[id][:-1], poses.face(id)) for id in store.ids}
    write_poses(tmp_path / "short.h5", short)
    with pytest.raises(UserError, match="23 poses"):
        RhythmicFrames(store, PoseStore(tmp_path / "short.h5"), store.ids, (1, 1), 0)
