"""Samples of head motion, and leaving people out."""

import numpy as np
import pytest

from data.heads.motion import (
    MotionClips,
    MotionSamples,
    at,
    evened,
    left_out,
    people_of,
    read_people,
    sound_frames,
)
from data.heads.poses import default_path, write_poses
from tests.heads import REST, make_head_store, smooth_motion
from utils.errors import UserError
from utils.face.mean_face import MEAN_FACE
from utils.face.motion import MIRROR
from utils.face.pose import pose_of


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> MotionClips:
    return MotionClips(make_head_store(tmp_path_factory.mktemp("heads") / "store.h5"))


def samples(clips: MotionClips, augment: bool, raw: bool = False) -> MotionSamples:
    tracks = {id: clips.motion(id) for id in clips.store.ids}
    return MotionSamples(clips, tracks, 8, 20, seed=0, power=1.0, augment=augment, raw=raw)


def test_samples_are_stretches_of_clips(clips):
    sample = samples(clips, augment=False)[3]
    assert [tuple(sample[name].shape) for name in ("past", "motion", "loudness")] == [
        (8, 6),
        (20, 6),
        (28, 3),
    ]
    joined = np.concatenate([sample["past"], sample["motion"]])
    errors = [
        np.abs(at(clips.motion(id), start + np.arange(28)) - joined).max()
        for id in clips.store.ids
        for start in np.linspace(0, 12, 121)
    ]
    assert min(errors) < 0.01


def test_samples_are_a_function_of_their_number(clips):
    one, other = samples(clips, augment=True), samples(clips, augment=True)
    assert all((one[7][name] == other[7][name]).all() for name in one[7])
    assert (one[7]["motion"] != one[8]["motion"]).any()


def test_raw_sound_is_that_of_its_frames(clips):
    sample = samples(clips, augment=False, raw=True)[0]
    assert sample["sound"].shape == (34, 640)
    sounds = [sound_frames(clips.sound(id), 0, 40) for id in clips.store.ids]
    assert any(
        (sample["sound"][3:31].numpy() == sound[n : n + 28]).all() for sound in sounds for n in range(13)
    )


def test_motion_is_made_once(clips):
    assert clips.motion("s1/clip0") is clips.motion("s1/clip0")


def test_a_mirror_is_its_own_inverse():
    assert all(one**2 == 1 for one in MIRROR) and MIRROR[0] == 1 and MIRROR[1] == -1


def test_lively_and_calm_people_are_brought_nearer():
    tracks = {str(n): smooth_motion(100, n) * size for n, size in enumerate((0.2, 1.0, 3.0))}

    def sizes(tracks):
        return np.array([np.sqrt(np.square(track[:, :3]).sum(1).mean()) for track in tracks.values()])

    assert np.ptp(sizes(evened(tracks, 1.0))) < 1e-4
    np.testing.assert_allclose(sizes(evened(tracks, 0.0)), sizes(tracks), rtol=1e-4)
    assert sizes(evened(tracks, 0.5)).mean() == pytest.approx(sizes(tracks).mean(), rel=1e-4)


def test_people(tmp_path):
    file = tmp_path / "people.txt"
    file.write_text("w02 w09  # the same\n\nw04 w07\n")
    groups, ids = read_people(file), [f"w{n:02d}/clip" for n in range(1, 10)]
    people = people_of(ids, groups)
    assert people["w02"] == ["w02/clip", "w09/clip"] and len(people) == 7
    assert left_out(ids, groups, ["w09", "w01"]) == {"w02/clip", "w09/clip", "w01/clip"}
    with pytest.raises(UserError, match=r"-leave_out w77: no clip"):
        left_out(ids, groups, ["w77"])
    file.write_text("a b\nb c\n")
    with pytest.raises(UserError, match="b is in it twice"):
        read_people(file)
    with pytest.raises(UserError, match="no list of people"):
        read_people(tmp_path / "absent.txt")


def test_poses_of_other_clips_are_refused(tmp_path):
    path = make_head_store(tmp_path / "store.h5", clips=3, frames=24)
    write_poses(default_path(path), {"s1/clip0": (pose_of(smooth_motion(9, 0), REST), MEAN_FACE)})
    with pytest.raises(UserError, match=r"store_pose\.h5"):
        MotionClips(path)
    default_path(path).unlink()
    with pytest.raises(UserError, match=r"python -m preprocess\.pose"):
        MotionClips(path)
