"""Figures of head motion where their values are known."""

import numpy as np
import pytest

from evaluation.motion import alignment, figures
from evaluation.motion.page import draw_spectra, markdown
from evaluation.motion.rows import OTHER, STILL, TRUTH, clip_figures
from evaluation.motion.table import MotionTable
from tests.heads import smooth_motion

TIME = np.arange(500) / 25


def nod(hertz: float = 1.0, degrees: float = 5.0) -> np.ndarray:
    motion = np.zeros((500, 6), np.float32)
    motion[:, 0] = np.radians(degrees) * np.sin(2 * np.pi * hertz * TIME)
    return motion


def test_a_nod():
    assert figures.deviations(nod())[0] == pytest.approx(5 / np.sqrt(2), rel=0.01)
    assert figures.speeds(nod())[0] == pytest.approx(4 * 5, rel=0.02)
    frequencies, power = figures.spectrum(nod())
    assert frequencies[power[0].argmax()] == 1.0
    assert power[0].sum() * 0.25 == pytest.approx(12.5, rel=0.05)


def test_the_factor_is_the_worst():
    true = np.ones((3, 4))
    made = true.copy()
    assert figures.factor(made, true) == 1
    made[1, 2], made[0, 0] = 1 / 3, 2
    assert figures.factor(made, true) == pytest.approx(3)
    assert figures.factor(0 * true, true) == np.inf


def test_frechet():
    features = [
        np.concatenate([figures.window_features(size * smooth_motion(300, n), np.ones(6)) for n in range(8)])
        for size in (1.0, 1.0, 2.0)
    ]
    assert features[0].shape[1] == 36
    assert figures.frechet(*features[:2]) == pytest.approx(0, abs=1e-6)
    spread = np.trace(np.cov(features[0].T))
    assert figures.frechet(features[2], features[0]) == pytest.approx(
        spread + np.square(features[0].mean(0)).sum(), rel=0.01
    )
    assert len(figures.window_features(smooth_motion(20, 0), np.ones(6))) == 0


def bursts(shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Speed with a burst `shift` frames after each burst of loudness"""
    loud, speed = np.zeros(400), np.zeros(400)
    for place in (50, 110, 190, 240, 330):
        loud[place], speed[place + shift] = 30, 90
    return alignment.envelope(speed), alignment.envelope(loud)


@pytest.mark.parametrize("shift", [-6, 0, 9])
def test_alignment_finds_the_lag(shift):
    found = alignment.correlations(*bursts(shift))
    assert alignment.LAGS[found.argmax()] == shift and found.max() == pytest.approx(1, abs=1e-6)
    near, chance = alignment.peak_distance(*bursts(shift))
    assert near == pytest.approx(abs(shift) / 25) and chance > 0.5


def test_what_does_not_move_is_not_aligned():
    assert np.isnan(alignment.correlations(np.zeros(100), bursts(0)[1][:100])).all()
    assert np.isnan(alignment.peak_distance(np.zeros(100), bursts(0)[1][:100])).all()


def test_the_table():
    people = {"a/1": "a", "b/1": "b", "c/1": "a"}
    table = MotionTable(people)
    heard = np.random.default_rng(0).uniform(-60, -10, 200)
    for n, id in enumerate(people):
        true = smooth_motion(200, n)
        rows = {STILL: [0 * true], OTHER: [smooth_motion(150, n + 5)], "made": [2 * true, true]}
        table.add(id, rows | {TRUTH: [true]}, heard)
    summary = table.summary()
    assert list(summary) == [STILL, OTHER, "made", TRUTH]
    assert summary["made"]["deviation_ratio_yaw"][0] == pytest.approx(1.5)
    assert summary["made"]["spectrum_roll"] == pytest.approx([2.0] * 5) and summary["made"]["variety"][0] > 0
    assert table.bands("made", typical=False)[2] == pytest.approx([2.5] * 5)
    assert summary[TRUTH]["error"][0] == 0 and summary[TRUTH]["spectrum_factor"] == 1
    assert summary[OTHER]["above_other"][0] == 0 and np.isnan(summary[STILL]["alignment"][0])
    assert summary["made"]["frechet"] > 0 and len(table.lines()) == 12


def test_the_table_of_short_clips():
    """What has no window of two seconds counts where it can, and makes nan of no other clip's figures"""
    frames = {"a/1": 40, "b/1": 200, "c/1": 150}
    table, alone = (MotionTable({id: id for id in frames}) for _ in range(2))
    for n, (id, count) in enumerate(frames.items()):
        true, heard = smooth_motion(count, n), np.random.default_rng(n).uniform(-60, -10, count)
        rows = {OTHER: [smooth_motion(45, 9)[:count]], "made": [2 * true], TRUTH: [true]}
        for one in (table, alone) if count > 40 else (table,):
            one.add(id, rows, heard)
    for one, other in zip(table.power("made"), alone.power("made"), strict=True):
        np.testing.assert_array_equal(one, other)
    summary = table.summary()
    assert summary["made"]["spectrum_yaw"] == pytest.approx([4.0] * 5) and summary["made"]["frechet"] > 0
    assert np.isnan(summary[OTHER]["spectrum_yaw"]).all() and np.isnan(summary[OTHER]["frechet"])
    assert summary[OTHER]["deviation_yaw"][0] > 0
    assert "nan" not in markdown(summary) and draw_spectra(table).ndim == 3


def test_other_people_are_no_seeds(monkeypatch):
    true, asked = smooth_motion(100, 0), []
    monkeypatch.setattr(figures, "variety", lambda motions: asked.append(len(motions)) or 1.0)
    table = MotionTable({"a/1": "a"})
    rows = {OTHER: [smooth_motion(100, n) for n in range(5)], "made": [true] * 3, TRUTH: [true]}
    table.add("a/1", rows, np.zeros(100))
    assert asked == [3, 1] and np.isnan(table.clips["a/1"][OTHER]["variety"])


def test_other_clips_may_be_shorter():
    true = smooth_motion(200, 0)
    found = clip_figures([true[:120]] * 2, true, np.zeros(200), seeds=False)
    assert found["error"] == 0 and np.isnan(found["variety"])
