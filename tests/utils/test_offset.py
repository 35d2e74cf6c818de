"""Sounds that are moved, and the table of offsets."""

import numpy as np
import pytest

from utils.audio import SAMPLES_PER_FRAME
from utils.audio.offset import later, read_offsets
from utils.errors import UserError


@pytest.mark.parametrize("frames", [-2.5, -0.25, 0, 0.25, 3])
def test_a_sound_is_later_by_so_many_frames(frames):
    sound = np.random.default_rng(0).standard_normal(20 * SAMPLES_PER_FRAME).astype(np.float32)
    moved, samples = later(sound, frames), round(frames * SAMPLES_PER_FRAME)
    assert moved.shape == sound.shape and moved.dtype == sound.dtype
    if samples >= 0:
        np.testing.assert_array_equal(moved[samples:], sound[: len(sound) - samples])
    else:
        np.testing.assert_array_equal(moved[:samples], sound[-samples:])
    assert np.abs(moved[:50]).max() > 0 and np.abs(moved[-50:]).max() > 0  # no silence at its ends


def test_a_sound_moves_no_farther_than_its_length():
    sound = np.arange(100, dtype=np.float32)
    assert later(sound, 5)[-1] == 0 and later(sound, -5)[0] == 99


@pytest.mark.parametrize(
    "text",
    [
        "id,offset\na,1\n",
        "clip,offset\na,later\n",
        "clip,offset\na\n",
        "clip,offset\na,nan\n",
        "clip,offset\na,inf\n",
        b"\xff\xfe\x00",
    ],
)
def test_a_table_that_is_none_is_one_line(tmp_path, text):
    path = tmp_path / "offsets.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"offsets\.csv"):
        read_offsets(path)
    with pytest.raises(UserError, match=r"nowhere\.csv: No such file"):
        read_offsets(tmp_path / "nowhere.csv")
