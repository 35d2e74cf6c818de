"""Matrices as pictures: every number's square has its colour, and its place."""

import numpy as np

from evaluation.matrices import CELL, INK, MARGIN, colours, matrices


def test_colours_grow_with_the_root():
    picture = colours(np.array([[0.0, 0.1, 0.4]]))
    assert picture.dtype == np.uint8 and (picture[0, 0] == 255).all() and (picture[0, 2] == INK).all()
    np.testing.assert_allclose(picture[0, 1], (255 + INK) / 2, atol=0.6)
    assert (colours(np.zeros((2, 2))) == 255).all()


def test_squares_are_where_their_numbers_are():
    values = np.zeros((3, 40))
    values[1, 39] = 2
    picture = matrices({"t": values}, ["ABOUT", "BEING", "CASES"], [str(n) for n in range(40)])
    rows, columns = (np.abs(picture.astype(int) - INK).sum(-1) == 0).nonzero()
    assert len(rows) == CELL * CELL == 144
    assert rows.max() == picture.shape[0] - MARGIN - CELL - 1  # the last row but one
    assert columns.max() == picture.shape[1] - MARGIN - 1  # the last column


def test_panels_stand_side_by_side_each_on_its_own_scale():
    one = matrices({"a": np.eye(3)}, list("abc"), list("def"))
    two = matrices({"a": np.eye(3), "b": 9 * np.eye(3)}, list("abc"), list("def"))
    assert len(two) == len(one) and np.array_equal(two[:, : one.shape[1]], one)
    dark = (np.abs(two.astype(int) - INK).sum(-1) == 0).sum()
    assert dark == 2 * 3 * CELL * CELL
