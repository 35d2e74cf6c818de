import numpy as np
import pytest

from utils.face.landmarks import MIRROR, MOUTH
from utils.face.mean_face import MEAN_FACE, RIGID
from utils.face.pose import (
    Pose,
    fit_pose,
    fit_pose_3d,
    fit_track,
    frontalise,
    motion_of,
    place,
    place_3d,
    pose_of,
    rest_pose,
    smooth_pose,
)
from utils.face.rotations import smooth_rotations, to_matrices, to_vectors


def angles_between(one, other):
    """Degrees between rotation vectors (T, 3)"""
    between = np.swapaxes(to_matrices(one), -1, -2) @ to_matrices(other)
    return np.degrees(np.linalg.norm(to_vectors(between), axis=-1))


def turning(frames=50, degrees=30, seed=0):
    """A head that turns by up to so many degrees about every axis, or about all at once"""
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((frames, 3))
    axes[:3] = np.eye(3)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    rotation = axes * np.radians(rng.uniform(-degrees, degrees, (frames, 1)))
    rotation[:3] = np.eye(3) * np.radians(degrees)
    return Pose(rotation, rng.uniform(100, 150, (frames, 2)), rng.uniform(70, 110, frames))


def test_the_mean_face_is_symmetric_and_its_nose_comes_first():
    np.testing.assert_allclose(MEAN_FACE[MIRROR] * [-1, 1, 1], MEAN_FACE, atol=0.01)
    assert np.linalg.norm(MEAN_FACE[16] - MEAN_FACE[0]) == pytest.approx(1, abs=0.01)
    assert MEAN_FACE[:, 2].argmin() == 30


def test_rotations_come_back_in_every_form():
    vectors = np.random.default_rng(1).standard_normal((100, 3))
    vectors *= (np.linspace(0, 3.1, 100) / np.linalg.norm(vectors, axis=1))[:, None]
    np.testing.assert_allclose(to_vectors(to_matrices(vectors)), vectors, atol=1e-6)
    quarter = to_matrices(np.array([0, 0, np.pi / 2]))
    np.testing.assert_allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_known_angles_up_to_thirty_degrees_come_back():
    pose = turning()
    found = fit_pose(place(MEAN_FACE, pose))
    assert angles_between(found.rotation, pose.rotation).max() < 0.01
    np.testing.assert_allclose(found.scale, pose.scale, rtol=1e-4)
    np.testing.assert_allclose(found.translation, pose.translation, atol=0.01)


def test_whole_pixels_and_a_talking_mouth_cost_less_than_half_a_degree():
    pose = turning()
    pose = Pose(pose.rotation, pose.translation, np.full(50, 130.0))  # a face of 130 pixels, as in videos
    talking = np.broadcast_to(MEAN_FACE, (50, 68, 3)).copy()
    talking[:, MOUTH, 1] += np.random.default_rng(2).uniform(0, 0.15, (50, 1))
    errors = angles_between(fit_pose(place(talking, pose).round()).rotation, pose.rotation)
    assert np.median(errors) < 0.5


def test_a_landmark_that_is_far_off_counts_little():
    pose = turning()
    landmarks = place(MEAN_FACE, pose)
    landmarks[:, 14] += 0.2 * pose.scale[:, None]
    assert angles_between(fit_pose(landmarks).rotation, pose.rotation).max() < 0.5


def test_turns_of_another_persons_head_are_seen_as_turns_of_that_size():
    rng = np.random.default_rng(3)
    person = MEAN_FACE * [1.05, 0.96, 1.0] + 0.01 * rng.standard_normal((68, 3))
    pose = turning(degrees=20)
    asked = motion_of(pose, pose[:1])[:, :3]

    def error(found):
        return np.median(angles_between(motion_of(found, found[:1])[:, :3], asked))

    landmarks = place(person, pose)
    found, face = fit_track(landmarks)
    assert error(found) < 1.0
    assert error(found) < error(fit_pose(landmarks))
    assert face.shape == (68, 3) and (face[MIRROR] * [-1, 1, 1] == face).all()


def test_three_dimensional_landmarks_give_the_pose_at_once():
    pose = turning()
    found = fit_pose_3d(place_3d(MEAN_FACE, pose) + [0, 0, 17.0])
    assert angles_between(found.rotation, pose.rotation).max() < 1e-4
    np.testing.assert_allclose(found.translation - pose.translation, found.translation * 0, atol=1e-6)


def test_front_and_back_again_are_the_same_landmarks():
    pose = turning()
    landmarks = place(MEAN_FACE + 0.02 * np.random.default_rng(4).standard_normal((50, 68, 3)), pose)
    found = fit_pose(landmarks)
    front = frontalise(landmarks, found)
    assert front.shape == (50, 68, 3)
    assert np.abs(place(front, found) - landmarks).max() < 1e-6
    still = frontalise(place(MEAN_FACE, pose), pose)
    np.testing.assert_allclose(still, np.broadcast_to(MEAN_FACE, still.shape), atol=1e-6)


def test_a_profile_does_not_tear_the_front_apart():
    pose = Pose(np.array([[0, np.radians(85), 0]]), np.zeros((1, 2)), np.array([100.0]))
    assert np.abs(frontalise(place(MEAN_FACE, pose) + 1, pose)).max() < 2


def test_motion_and_pose_are_inverse_and_the_rest_does_not_move():
    pose = turning(degrees=15)
    rest = rest_pose(pose)
    motion = motion_of(pose)
    back = pose_of(motion, rest)
    assert motion.dtype == np.float32 and motion.shape == (50, 6)
    assert angles_between(back.rotation, pose.rotation).max() < 1e-3
    np.testing.assert_allclose(back.table()[:, 3:], pose.table()[:, 3:], rtol=1e-5)
    np.testing.assert_allclose(motion_of(rest, rest), 0, atol=1e-6)


def test_the_rest_pose_is_where_the_head_mostly_is():
    vectors = np.zeros((40, 3))
    vectors[30:, 1] = 0.6  # for a quarter of the time it looks aside
    pose = Pose(vectors + [0.1, 0, 0], np.zeros((40, 2)), np.ones(40))
    np.testing.assert_allclose(rest_pose(pose).rotation[0], [0.1, 0, 0], atol=1e-6)


def test_smoothing_takes_the_short_way_round():
    vectors = np.array([[0, 0, 3.1], [0, 0, -3.1]] * 5)  # 5 degrees apart, on both sides of half a turn
    smoothed = smooth_rotations(vectors, 2.0)
    assert np.abs(smoothed[:, 2]).min() > 3.0
    pose = turning()
    assert smooth_pose(pose, 0).rotation is pose.rotation or np.allclose(
        smooth_pose(pose, 0).rotation, pose.rotation
    )
    jerks = [np.abs(np.diff(one.translation, 2, axis=0)).mean() for one in (pose, smooth_pose(pose, 2))]
    assert jerks[1] < 0.1 * jerks[0]


def test_many_frames_are_fitted_in_blocks(monkeypatch):
    landmarks = place(MEAN_FACE, turning(30))
    whole = fit_pose(landmarks)
    monkeypatch.setattr("utils.face.pose.BLOCK", 7)
    np.testing.assert_allclose(fit_pose(landmarks).table(), whole.table(), atol=1e-9)


def test_rigid_points_are_the_originals():
    assert len(RIGID) == 27 and not set(RIGID) & set(MOUTH)
