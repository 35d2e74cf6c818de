"""Pages of pictures and files under a stated size."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from reports.sheet import settled, sheet, sound_strip, words, write_gif, write_jpeg
from utils.errors import UserError


def tile(level: int) -> np.ndarray:
    return np.full((40, 60, 3), (level, 0, 200), np.uint8)


def test_pictures_stand_row_by_row_with_their_texts_around_them():
    rows = [[tile(10), tile(50)], [tile(90), tile(130)]]
    bare = sheet(rows)
    page = sheet(rows, ["one", "two\nlines"], ["a", "b"], ["below", ""])
    assert page.shape[0] > bare.shape[0] and page.shape[1] > bare.shape[1]
    for level in (10, 50, 90, 130):
        places = np.argwhere((page == (level, 0, 200)).all(-1))
        assert np.ptp(places, axis=0).tolist() == [39, 59]
    assert (bare[:3] == 255).all() and np.argwhere((bare == (10, 0, 200)).all(-1)).min(0).tolist() == [4, 0]


def test_words_and_sound_are_drawn():
    assert words("no face", (40, 60, 3)).std() > 0
    opening = np.r_[np.zeros(10), np.full(10, 5.0)]
    strip = sound_strip(0.1 * np.ones(16000), opening, (200, 60), widest=10, loudest=1)
    orange = np.argwhere((strip == (213, 94, 0)).all(-1))
    assert orange[orange[:, 1] < 80][:, 0].mean() > 50 > 35 > orange[orange[:, 1] > 120][:, 0].mean() > 25


def noise_frames(count: int = 6) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    still = random.integers(0, 255, (60, 80, 3)).astype(np.uint8)
    frames = [still.copy() for _ in range(count)]
    for frame in frames:
        frame[20:40, 20:40] = random.integers(0, 255, (20, 20, 3))
    return frames


def test_a_gif_has_its_frames_at_their_rate(tmp_path):
    assert write_gif(tmp_path / "a.gif", noise_frames(), 12.5, 200_000) == (80, 60)
    with Image.open(tmp_path / "a.gif") as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
        assert durations == [80] * 6 and gif.info["loop"] == 0
        gif.seek(3)
        shown = np.asarray(gif.convert("RGB")).astype(int)
    assert np.abs(shown - noise_frames()[3]).mean() < 25


def test_a_gif_shrinks_until_it_fits(tmp_path):
    write_gif(tmp_path / "whole.gif", noise_frames(), 12.5, 10**6)
    limit = (tmp_path / "whole.gif").stat().st_size * 3 // 4
    width, _ = write_gif(tmp_path / "a.gif", noise_frames(), 12.5, limit)
    assert (tmp_path / "a.gif").stat().st_size <= limit and width < 80
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 6


@pytest.mark.parametrize(
    "write", [write_jpeg, lambda path, page, limit: write_gif(path, [page], 12.5, limit)]
)
def test_a_picture_that_cannot_fit_leaves_nothing(tmp_path, write):
    with pytest.raises(UserError, match="more than 100"):
        write(tmp_path / "a.gif", noise_frames()[0], 100)
    assert not [*tmp_path.iterdir()]


def test_a_jpeg_loses_quality_to_fit(tmp_path):
    page = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    write_jpeg(tmp_path / "good.jpg", page, 10**6)
    limit = (tmp_path / "good.jpg").stat().st_size * 2 // 3
    write_jpeg(tmp_path / "less.jpg", page, limit)
    assert 0 < (tmp_path / "less.jpg").stat().st_size <= limit


def test_small_changes_wait_until_they_are_large():
    frames = [np.full((2, 2, 3), level, np.uint8) for level in (100, 103, 106, 109)]
    assert [int(frame[0, 0, 0]) for frame in settled(frames, 5)] == [100, 100, 106, 106]
