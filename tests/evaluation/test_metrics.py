"""Figures of known inputs: what a metric must say of shifts, delays, noise, blur, silence."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data

from animation.blinks import close_lids
from evaluation import landmark_metrics as metrics
from evaluation import paper_metrics, picture_metrics
from evaluation.cpbd import cpbd, edge_widths
from utils.face.landmarks import LOWER_INNER_LIP, MOUTH, TEMPLATE, denormalise, mouth_opening, normalise

RATE = 16000


def talking(frames: int = 60, seed: int = 0) -> np.ndarray:
    """Landmarks (T, 68, 2) with a mouth that opens at random"""
    points = np.repeat(TEMPLATE[None].astype(np.float64), frames, 0)
    opening = gaussian_filter(np.random.default_rng(seed).standard_normal(frames), 1.5)
    points[:, LOWER_INNER_LIP, 1] += 8 * np.abs(opening)[:, None]
    return points


def face() -> np.ndarray:
    """(128, 128, 3): the astronaut's face"""
    return cv2.resize(data.astronaut()[20:190, 140:310], (128, 128), interpolation=cv2.INTER_AREA)


# Landmarks


def test_distance_is_a_mean_over_points():
    real = talking()
    fake = real + np.array([3.0, 4.0])
    np.testing.assert_allclose(metrics.landmark_distance(fake, real), 5.0)
    np.testing.assert_allclose(metrics.mouth_distance(fake, real), 5.0)
    fake = real.copy()
    fake[:, MOUTH[0], 0] += 20
    np.testing.assert_allclose(metrics.mouth_distance(fake, real), 1.0)
    np.testing.assert_allclose(metrics.landmark_distance(fake, real), 20 / 68)


def test_frames_without_a_face_do_not_count():
    real, fake = talking(), talking() + 1.0
    fake[10:20] = np.nan
    assert metrics.mean(metrics.mouth_distance(fake, real)) == pytest.approx(np.sqrt(2))
    assert metrics.correlation(mouth_opening(fake), mouth_opening(real)) == pytest.approx(1)
    assert np.isfinite(metrics.jitter(fake))
    assert np.isnan(metrics.mean([np.nan]))


def test_correlation_of_a_mouth_that_stands_still_is_undefined():
    opening = mouth_opening(talking())
    assert metrics.correlation(2 * opening + 1, opening) == pytest.approx(1)
    assert metrics.correlation(-opening, opening) == pytest.approx(-1)
    assert np.isnan(metrics.correlation(np.full(60, 3.0), opening))
    assert metrics.opening_gain(0.5 * opening, opening) == pytest.approx(0.5)


def test_pooled_correlation_does_not_reward_a_persons_lips():
    openings = [mouth_opening(talking(seed=seed)) for seed in range(2)]
    noise = [np.random.default_rng(seed).standard_normal(60) for seed in range(2)]
    real = [openings[0], openings[1] + 100]
    fake = [noise[0], noise[1] + 100]
    assert abs(metrics.pooled_correlation(fake, real, [0, 100])) < 0.3
    assert metrics.pooled_correlation(real, real, [0, 100]) == pytest.approx(1)


@pytest.mark.parametrize("delay", [-4, -1, 0, 2, 5])
def test_lag_finds_a_delay(delay):
    opening = mouth_opening(talking(90))
    curve = metrics.lag_correlations(np.roll(opening, delay), opening)
    assert metrics.best_lag([curve]) == delay
    assert metrics.best_lag([curve, np.full_like(curve, np.nan)]) == delay


def test_lag_of_a_short_or_still_clip_is_undefined():
    opening = mouth_opening(talking(8))
    assert np.isnan(metrics.best_lag([metrics.lag_correlations(opening, opening)]))
    assert np.isnan(metrics.best_lag([metrics.lag_correlations(np.zeros(60), mouth_opening(talking()))]))


def test_the_best_correlation_does_not_mind_a_delay():
    opening = mouth_opening(talking(90))
    late = metrics.lag_correlations(np.roll(opening, 3), opening)
    assert metrics.best_correlation(late) == pytest.approx(1) and late[metrics.LARGEST_LAG] < 0.5
    assert np.isnan(metrics.best_correlation(np.full(11, np.nan)))


def test_shut_eyes_are_seen_and_measured():
    still = np.repeat(normalise(TEMPLATE)[None], 40, 0)
    closings = np.zeros(40, np.float32)
    closings[10:13], closings[20] = 1, 0.3
    eyes, half = (denormalise(close_lids(still, share * closings)) for share in (1, 0.5))
    assert np.flatnonzero(metrics.shut_eyes(eyes)).tolist() == [10, 11, 12]
    assert metrics.eyes_fall(half) / metrics.eyes_fall(eyes) == pytest.approx(0.5, abs=0.02)
    eyes[11] = np.nan
    assert np.flatnonzero(metrics.shut_eyes(eyes)).tolist() == [10, 12]


def test_jitter_is_zero_for_steady_motion_and_blind_to_the_mouth():
    steady = talking() + np.arange(60)[:, None, None] * np.array([0.5, 0.2])
    assert metrics.jitter(steady) == pytest.approx(0, abs=1e-9)
    shaking = steady.copy()
    shaking[::2, :48, 0] += 1  # second difference +-2
    assert metrics.jitter(shaking) == pytest.approx(2)


# Sound


def speech(frames: int, start: int, end: int) -> np.ndarray:
    """Noise 50 dB above the room's between two frames"""
    random = np.random.default_rng(0)
    audio = 0.0005 * random.standard_normal(frames * 640)
    audio[start * 640 : end * 640] += 0.15 * random.standard_normal((end - start) * 640)
    return audio.astype(np.float32)


def test_pauses_are_away_from_sound():
    pauses = metrics.silent_frames(speech(75, 20, 50), 75)
    assert pauses[:17].all() and not pauses[17:53].any() and pauses[54:].all()
    assert metrics.silent_frames(np.zeros(64000, np.float32), 100).all()
    assert not metrics.silent_frames(speech(40, 0, 40), 40).any()


def test_long_pauses_last_more_than_ten_frames():
    for length, long in ((10, False), (11, True)):
        sound = np.concatenate([speech(40, 0, 40), speech(length, 0, 0), speech(40, 0, 40)])
        pauses = metrics.silent_frames(sound, 80 + length)
        assert pauses.sum() == length - 6
        assert np.array_equal(metrics.long_pauses(pauses), pauses & long)
    assert not metrics.long_pauses(np.zeros(5, bool)).any() and metrics.long_pauses(np.ones(5, bool)).all()


def test_rumble_does_not_hide_a_pause():
    rumble = 0.02 * np.sin(2 * np.pi * 30 * np.arange(75 * 640) / RATE)
    assert metrics.silent_frames(speech(75, 20, 50) + rumble, 75).sum() > 30


def test_opening_in_pauses_is_relative_to_rest():
    landmarks, pauses = np.repeat(TEMPLATE[None], 10, 0).astype(np.float64), np.arange(10) < 5
    landmarks[5:, LOWER_INNER_LIP, 1] += 9
    assert metrics.pause_opening(landmarks, TEMPLATE, pauses) == pytest.approx(1, abs=1e-5)
    landmarks[:5, LOWER_INNER_LIP, 1] += mouth_opening(TEMPLATE)
    assert metrics.pause_opening(landmarks, TEMPLATE, pauses) == pytest.approx(2, abs=1e-3)
    assert metrics.pause_excess(landmarks, TEMPLATE, pauses) == pytest.approx(
        mouth_opening(TEMPLATE), rel=1e-3
    )
    assert np.isnan(metrics.pause_opening(landmarks, TEMPLATE, np.zeros(10, bool)))


def test_loudness_is_in_decibels_a_frame():
    audio = np.concatenate([np.full(640, 0.1), np.full(640, 1.0), np.zeros(640)]).astype(np.float32)
    np.testing.assert_allclose(metrics.loudness(audio, 4), [-20, 0, -100, -100], atol=1e-3)


# Pictures


def test_psnr_of_a_known_error():
    real = np.full((3, 16, 16, 3), 100, np.uint8)
    np.testing.assert_allclose(picture_metrics.psnr(real + 5, real), 20 * np.log10(255 / 5))
    np.testing.assert_allclose(picture_metrics.psnr(real, real), 100)
    np.testing.assert_allclose(picture_metrics.psnr(real[:1] + 5, real), 20 * np.log10(255 / 5))


def test_ssim_falls_with_noise():
    real = face()[None]
    random = np.random.default_rng(0)
    noisy = [
        np.clip(real + random.normal(0, sigma, real.shape), 0, 255).astype(np.uint8) for sigma in (0, 5, 20)
    ]
    values = [picture_metrics.ssim(one, real)[0] for one in noisy]
    assert values[0] == pytest.approx(1) and values[0] > values[1] > values[2] > 0


def test_mouth_box_holds_the_mouth_of_every_frame():
    landmarks = talking()
    left, top, right, bottom = picture_metrics.mouth_box(landmarks, 128)
    mouth = landmarks[:, MOUTH]
    assert left < mouth[..., 0].min() - 3 and mouth[..., 0].max() + 3 < right <= 128
    assert top < mouth[..., 1].min() - 3 and mouth[..., 1].max() + 3 < bottom <= 128
    assert (
        picture_metrics.cut(np.zeros((2, 128, 128, 3)), (left, top, right, bottom)).shape[1] == bottom - top
    )
    box = picture_metrics.mouth_box(landmarks + 80, 128)  # mostly outside the crop
    assert 0 <= box[0] < box[2] <= 128 and 0 <= box[1] < box[3] <= 128


@pytest.mark.parametrize("measure", [picture_metrics.sharpness, picture_metrics.edge_sharpness])
def test_sharpness_falls_with_every_step_of_blur(measure):
    blurred = [gaussian_filter(face(), (sigma, sigma, 0)) for sigma in (0, 0.4, 0.7, 1.0)]
    values = measure(np.stack(blurred))
    assert (np.diff(values) < 0).all()


def test_cpbd_of_pictures_without_edges():
    assert cpbd(np.zeros((128, 128))) == 0
    assert cpbd(np.full((20, 30), 7.0)) == 0


def test_cpbd_knows_a_step_from_a_ramp():
    step, ramp = np.zeros((64, 64)), np.zeros((64, 64))
    step[:, 32:] = 200
    ramp[:, 24:40] = np.linspace(12, 188, 16)
    ramp[:, 40:] = 200
    assert cpbd(step) == 1
    assert cpbd(ramp) == 0


def test_edge_width_is_the_distance_of_the_extremes():
    for width in (1, 2, 5):
        rising = np.interp(np.arange(40), [15, 15 + width], [20, 220]) * np.ones((40, 1))
        for picture in (rising, rising[:, ::-1]):
            assert set(np.unique(edge_widths(picture))) == {0, width}


# The original script's definitions


def test_summed_distance_ignores_shifts_and_sums():
    real = np.rint(talking())
    np.testing.assert_allclose(paper_metrics.summed_mouth_distance(real + 7, real), 0, atol=1e-9)
    fake = real.copy()
    fake[:, MOUTH[0], 0] += 20  # its centre moves by 1
    np.testing.assert_allclose(paper_metrics.summed_mouth_distance(fake, real), 19 + 19)


@pytest.mark.parametrize(
    ("sigma", "true", "reported"),
    [
        (3, 38.61, 38.61),
        (6, 32.70, 33.00),
        (10, 28.34, 30.41),
        (20, 22.49, 28.84),
        (40, 16.91, 28.15),
        (80, 11.83, 27.96),
    ],
)
def test_wrapping_psnr_reports_what_the_original_reported(sigma, true, reported):
    grey = cv2.cvtColor(cv2.resize(face(), (256, 256)), cv2.COLOR_RGB2GRAY)
    noise = np.random.default_rng(0).normal(0, sigma, grey.shape)
    noisy = np.clip(np.round(grey + noise), 0, 255).astype(np.uint8)
    error = ((noisy.astype(float) - grey) ** 2).mean()
    assert picture_metrics.decibels(error) == pytest.approx(true, abs=0.6)
    assert paper_metrics.wrapping_psnr(noisy, grey) == pytest.approx(reported, abs=0.4)


def test_original_picture_metrics_of_identical_frames():
    frames = np.stack([face(), face()[::-1]])
    np.testing.assert_allclose(paper_metrics.enlarged_ssim(frames, frames), 1)
    np.testing.assert_allclose(paper_metrics.enlarged_psnr(frames, frames), 100)
    assert (paper_metrics.narrow_cpbd(frames) <= picture_metrics.edge_sharpness(frames)).all()
