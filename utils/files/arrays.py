"""NumPy files of others: their numbers, or one line that says why there are none."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np

from utils.errors import UserError, reason

LARGEST = 1 << 28  # numbers: two gigabytes
# What NumPy raises for files that are not what they say; SyntaxError and the like for headers, which are Python.
FAULTS = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    SyntaxError,
    TypeError,
    KeyError,
    OverflowError,
    TokenError,
)


def read_numbers(path: Path, what: str, advice: str, missing: bool = False) -> np.ndarray:
    """A .npy file of finite numbers, float64. what: it should hold, in words; advice: what to do where it does not;
    missing: NaN may stand among them.

    Raises UserError for a file that cannot be read, holds no numbers or too many, or some that are not finite.
    """
    try:
        values = np.load(
            path, mmap_mode="r", allow_pickle=False
        )  # which finds out that there is too little of it
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or values.size > LARGEST:
            raise ValueError("no array of numbers")
        with np.errstate(invalid="ignore"):  # of numbers that are none, which are refused below
            values = np.array(values, np.float64)
    except FAULTS as error:
        why = "".join(letter if letter.isprintable() else "?" for letter in reason(error, 160))
        raise UserError(f"{path}: no {what} can be read ({why}); {advice}") from error
    if (np.isinf(values) if missing else ~np.isfinite(values)).any():
        raise UserError(f"{path}: has numbers that are {'infinite' if missing else 'not finite'}; {advice}")
    return values
