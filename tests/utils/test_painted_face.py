"""Painted and wireframe faces of landmarks of any scale, whole or piece by piece."""

import numpy as np
import pytest

from tests.synthetic import talking_landmarks
from utils.face.landmarks import TEMPLATE, TEMPLATE_SIZE
from utils.media.painted_face import curve, paint, place, wireframe


def test_pieces_are_drawn_as_the_whole():
    points = talking_landmarks(30, 0)[0]
    points = np.concatenate([points, 20 + 0.1 * points[..., :1]], axis=-1)
    for draw in (paint, wireframe):
        pieces = [frame for i in (0, 10, 20) for frame in draw(points[i : i + 10], 64, guide=points)]
        np.testing.assert_array_equal(pieces, list(draw(points, 64)))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_faces_are_drawn_from_any_scale(dimensions):
    points, opening = talking_landmarks(30, 0)
    if dimensions == 3:
        points = np.concatenate([points, 20 * np.ones((30, 68, 1), np.float32)], axis=-1)
    for draw in (paint, wireframe):
        large, small = list(draw(points, 128)), list(draw(points / 500 - 3, 128))
        assert large[0].shape == (128, 128, 3) and large[0].dtype == np.uint8
        assert np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(large, small, strict=True)]) < 1
    shut, wide = (list(paint(points, 256))[i].astype(int) for i in (opening.argmin(), opening.argmax()))
    dark = [(np.abs(one - [74, 22, 28]).sum(-1) < 40).sum() for one in (shut, wide)]
    assert dark[1] > dark[0] + 100


def test_strange_landmarks_do_not_stop_the_painter():
    faces = np.stack(
        [np.zeros((68, 2)), np.random.default_rng(0).normal(size=(68, 2)) * 1e6, TEMPLATE / TEMPLATE_SIZE]
    )
    assert len(list(paint(faces, 64))) == len(list(wireframe(faces, 64))) == 3


def test_a_curve_goes_through_its_points():
    points = place(talking_landmarks(3, 0)[0], 256)
    line = curve(points[:, 48:60], closed=True)
    np.testing.assert_allclose(line[:, ::4], points[:, 48:60])
    assert curve(points[:, :17]).shape == (3, 65, 2)
