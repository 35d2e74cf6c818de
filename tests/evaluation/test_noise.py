"""Figures in noise, the noises themselves, and the table of both."""

import numpy as np
import pytest

from evaluation.noise import CLEAN, SPEECH_ALONE, NoiseTable, figures, noisy_versions
from tests.synthetic import talking_landmarks


def test_a_chart_that_cannot_be_drawn_leaves_no_table(tmp_path):
    with pytest.raises(IndexError):
        NoiseTable({"a": True}, []).write(tmp_path, "nothing was measured")
    assert not list(tmp_path.iterdir())


def test_figures_are_nothing_for_the_truth_and_right_for_a_shift():
    true, _ = talking_landmarks(20, 0)
    same, shifted = figures(true, true), figures(true + [3, 4], true)
    assert same.pop("opening_correlation") == pytest.approx(1) and not any(same.values())
    assert shifted["lmd_mouth"] == shifted["rmse"] == pytest.approx(5, abs=1e-4)
    assert shifted["opening_error"] < 1e-4 and shifted["velocity_error"] < 1e-4
    wide = true.copy()
    wide[:, 54, 0] += 2
    assert figures(wide, true)["width_error"] == pytest.approx(2, abs=0.05)


def test_all_models_hear_the_same_noise():
    speech = np.random.default_rng(0).normal(size=9000).astype(np.float32)
    noises = {"pink": [np.random.default_rng(1).normal(size=20000)]}
    first, second = (noisy_versions(speech, noises, [0.0, 10.0], 3) for _ in range(2))
    assert [*first] == [(SPEECH_ALONE, CLEAN), ("pink", 0.0), ("pink", 10.0)]
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])
    loud, soft = first["pink", 0.0] - speech, first["pink", 10.0] - speech
    np.testing.assert_allclose(loud, soft * 10**0.5, atol=1e-5)


def test_means_are_over_clips_and_kinds():
    true, _ = talking_landmarks(10, 0)
    table = NoiseTable({"a": True, "b": False, "c": False}, [0.0])
    for kind, shift in (("a", 1), ("b", 2), ("c", 4)):
        table.add({("m", kind, 0.0): figures(true + [shift, 0], true)})
    assert table.value("m", ["b", "c"], 0.0) == pytest.approx(3, abs=1e-4)
    assert [*table.sides().values()] == [["a"], ["b", "c"]]
