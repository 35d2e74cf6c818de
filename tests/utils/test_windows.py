"""The cutting that both kinds of windows share."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from utils.audio.windows import cut, sliding

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("begin", [-9, -3, 0, 2, 5, 8])
@pytest.mark.parametrize("length", [0, 1, 4, 12])
def test_a_cut_is_the_sound_and_zeros_about_it(begin, length):
    sound = np.arange(1.0, 6)
    whole = dict(enumerate(sound))
    part = cut(sound, begin, length)
    assert part.dtype == np.float32
    assert part.tolist() == [whole.get(place, 0) for place in range(begin, begin + length)]


def test_sliding_windows_are_those_that_fit():
    values = np.arange(22).reshape(11, 2)
    windows = sliding(values, 4, 3)
    assert windows.shape == (3, 2, 4)
    for number, window in enumerate(windows):
        np.testing.assert_array_equal(window.T, values[3 * number : 3 * number + 4])


def test_the_sound_of_networks_needs_numpy_alone():
    code = "import sys, utils.audio.raw_speech, utils.audio.mfcc, utils.audio.noise; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout
        == "False\n"
    )
