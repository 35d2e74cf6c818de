"""The landmark geometry that every stage shares."""

import numpy as np
import pytest

from tests.synthetic import make_basis, talking_landmarks
from utils.errors import UserError
from utils.face import alignment
from utils.face import landmarks as lm
from utils.face.basis import LandmarkBasis


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("size", [96, 128, 256])
def test_the_normaliser_is_inverted_exactly(random, size):
    points = random.uniform(0, size, (7, 68, 2)).astype(np.float32)
    np.testing.assert_allclose(lm.denormalise(lm.normalise(points, size), size), points, atol=1e-4)


def test_a_face_is_the_same_vector_in_a_crop_of_any_size():
    small, large = (lm.normalise(lm.to_crop_size(lm.TEMPLATE, size), size) for size in (128, 256))
    np.testing.assert_allclose(small, large, atol=1e-6)


def test_fit_similarity_finds_the_transform_it_was_made_with(random):
    transform = np.array([[1.2, -0.4, 5.0], [0.4, 1.2, -7.0]])
    source = random.uniform(0, 100, (3, 20, 2))
    fitted = alignment.fit_similarity(source, alignment.apply_transform(transform, source))
    np.testing.assert_allclose(fitted, np.broadcast_to(transform, (3, 2, 3)), atol=1e-4)
    back = alignment.apply_transform(
        alignment.invert_transform(fitted), alignment.apply_transform(fitted, source)
    )
    np.testing.assert_allclose(back, source, atol=1e-3)


def test_crop_transforms_put_stable_points_onto_the_template():
    turned = alignment.apply_transform(np.array([[0.9, -0.3, 40.0], [0.3, 0.9, 10.0]]), lm.TEMPLATE)
    transforms = alignment.crop_transforms(np.repeat(turned[None], 5, 0), size=128)
    cropped = alignment.apply_transform(transforms, np.repeat(turned[None], 5, 0))
    np.testing.assert_allclose(cropped, np.repeat(lm.TEMPLATE[None], 5, 0), atol=1e-3)


def test_blinks_do_not_move_the_crop():
    blinking = np.repeat(lm.TEMPLATE[None], 20, 0)
    blinking[8:11, [37, 38, 43, 44], 1] += 4
    assert np.ptp(alignment.crop_transforms(blinking), axis=0).max() < 1e-9


def test_smoothing_lowers_shimmer(random):
    noisy = lm.TEMPLATE + random.normal(0, 0.5, (50, 68, 2))
    shake = [
        np.diff(alignment.crop_transforms(noisy, sigma=sigma)[:, :, 2], axis=0).std() for sigma in (0.0, 2.0)
    ]
    assert shake[1] < 0.3 * shake[0]


def test_the_mirror_permutation_is_its_own_inverse_and_keeps_the_template():
    assert [lm.MIRROR[i] for i in lm.MIRROR] == list(range(68))
    flipped = lm.TEMPLATE[lm.MIRROR] * [-1, 1] + [127, 0]
    np.testing.assert_allclose(flipped, lm.TEMPLATE, atol=0.11)


def test_motion_does_not_depend_on_whose_face_it_is():
    points, _ = talking_landmarks(40, 1)
    first = lm.normalise(points)
    identity = np.zeros((68, 2), np.float32)
    identity[lm.JAW] = [0.05, 0.1]
    identity[lm.MOUTH] += [0.02, -0.03]
    other = (first.reshape(-1, 68, 2) + identity).reshape(-1, 136)
    np.testing.assert_allclose(alignment.motion(first)[0], alignment.motion(other)[0], atol=1e-4)
    assert np.abs(alignment.motion(first)[1] - alignment.motion(other)[1]).max() > 0.04


def test_motion_does_not_depend_on_head_movement():
    still = lm.normalise(talking_landmarks(40, 1)[0]).reshape(-1, 68, 2)
    angle = 0.1 * np.sin(np.arange(40) / 5)
    turn = np.stack(
        [np.cos(angle), -np.sin(angle), 0 * angle, np.sin(angle), np.cos(angle), 0.05 * angle], -1
    )
    moving = alignment.apply_transform(turn.reshape(-1, 2, 3), still)
    expected, actual = (alignment.motion(x.reshape(-1, 136))[0] for x in (still, moving))
    assert np.abs(expected - actual).max() < 0.01


def test_rest_shape_is_the_closed_mouth():
    points, _ = talking_landmarks(60, 3)
    rest = lm.denormalise(alignment.rest_shape(lm.normalise(points)))
    assert lm.mouth_opening(rest) < lm.mouth_opening(points).min() + 0.3


def test_the_basis_projects_and_comes_back(tmp_path):
    basis = make_basis(components=6)
    coefficients = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_allclose(basis.project(basis.reconstruct(coefficients)), coefficients, atol=1e-4)
    basis.save(tmp_path / "basis.npz")
    again = LandmarkBasis.load(tmp_path / "basis.npz")
    np.testing.assert_array_equal(basis.components, again.components)
    assert again.space == "motion" and again.rest_opening == pytest.approx(basis.rest_opening)


def test_close_mouth_closes_an_open_mouth_and_leaves_a_closed_one():
    basis = make_basis()
    points, opening = talking_landmarks(40, 2)
    open_face, closed_face = lm.normalise(points[opening.argmax()]), lm.normalise(points[opening.argmin()])
    rest_opening = basis.rest_opening * 64
    assert lm.mouth_opening(points[opening.argmax()]) > rest_opening + 4
    assert lm.mouth_opening(lm.denormalise(basis.close_mouth(open_face))) == pytest.approx(
        rest_opening, abs=0.5
    )
    np.testing.assert_array_equal(basis.close_mouth(closed_face), closed_face)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", None])
def test_a_bad_basis_is_named(tmp_path, content):
    path = tmp_path / "basis.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"basis\.npz"):
        LandmarkBasis.load(path)
