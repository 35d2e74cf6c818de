"""The surroundings of the original's weights, against the numbers of its audit."""

import numpy as np
import pytest

from animation.original import CANONICAL_FACE, GAINS, OriginalSubject, original_transform
from utils.errors import UserError
from utils.face.alignment import apply_transform
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import TEMPLATE, mouth_opening


def basis(components: int = 6) -> LandmarkBasis:
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(136, components)))[0].astype(np.float32)
    return LandmarkBasis(CANONICAL_FACE + 0.01, vectors, np.ones(components), "original")


def test_canonical_face_is_the_originals():
    assert np.linalg.norm(CANONICAL_FACE) / 5 == pytest.approx(0.98682337, abs=2e-5)
    assert CANONICAL_FACE.min() / 5 == pytest.approx(-0.154423, abs=2e-5)
    assert CANONICAL_FACE.max() / 5 == pytest.approx(0.180135, abs=2e-5)
    assert mouth_opening(CANONICAL_FACE.reshape(68, 2)) / 5 == pytest.approx(0.0019, abs=1e-4)


def test_subject_applies_the_gains_and_sees_the_example_through_six_coefficients():
    subject = OriginalSubject(basis())
    np.testing.assert_allclose(subject.example, basis().project(CANONICAL_FACE), atol=1e-6)
    np.testing.assert_allclose(subject.example_landmarks, basis().reconstruct(subject.example), atol=1e-6)
    coefficients = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    expected = basis().mean + (coefficients * [1, 2.2, 2.4, 2.6, 2.8, 3.0]) @ basis().components.T
    np.testing.assert_allclose(subject.landmarks(coefficients), expected, atol=1e-5)
    assert len(GAINS) == 6
    with pytest.raises(UserError, match="6 coefficients"):
        OriginalSubject(basis(5))


def test_crop_puts_the_face_where_its_landmarks_are_drawn():
    face = apply_transform(np.array([[3.0, 0.5, 40], [-0.5, 3.0, 90]]), TEMPLATE)
    crop = apply_transform(original_transform(face, 128), face)
    drawn = OriginalSubject(basis()).pixels(CANONICAL_FACE[None], 128)[0]
    assert np.abs(crop[27:45].mean(0) - drawn[27:45].mean(0)).max() < 0.5
    assert drawn.min() > 0 and drawn.max() < 140  # its template's chin lies just below the crop
    larger = apply_transform(original_transform(face, 256), face)
    np.testing.assert_allclose(larger, (crop + 0.5) * 2 - 0.5, atol=1e-3)
