"""By how much a sound is early or late of another, or of the lips, and how it is moved there."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from utils.audio import SAMPLES_PER_FRAME
from utils.audio.mel import COLUMNS
from utils.errors import UserError

NAN = float("nan")
REACH = 10  # video frames that a sound is moved by, at most


def sync_offset(made: np.ndarray, true: np.ndarray) -> float:
    """Mels (80, 4 T) -> video frames, in quarters, by which the made one is later; nan where nothing happens in one"""
    return best_offset(made, true)[0]


def best_offset(made: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Mels (80, 4 T) -> video frames, in quarters, by which the made one is later, and their correlation there

    Over all bands and columns, each band about its mean; at least half a clip overlaps. nan, nan where nothing happens
    in one of them.
    """
    columns = true.shape[1]
    reach = min(COLUMNS * REACH, columns // 2)
    best, offset = -math.inf, NAN
    for lag in sorted(range(-reach, reach + 1), key=abs):
        late, early = max(lag, 0), max(-lag, 0)
        a, b = made[:, late : columns - early], true[:, early : columns - late]
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        size = float(np.linalg.norm(a) * np.linalg.norm(b))
        value = float((a * b).sum()) / size if size > 1e-6 else -math.inf
        if value > best:
            best, offset = value, lag / COLUMNS
    return offset, best if math.isfinite(best) else NAN


def later(sound: np.ndarray, frames: float) -> np.ndarray:
    """Sound (N,), so many video frames later, or earlier where negative -> (N,); its ends are filled with their echo"""
    samples = max(-len(sound) + 1, min(len(sound) - 1, round(frames * SAMPLES_PER_FRAME)))
    padded = np.pad(sound, (max(samples, 0), max(-samples, 0)), mode="reflect")
    return padded[: len(sound)] if samples >= 0 else padded[-len(sound) :]


def read_offsets(path: Path) -> dict[str, float]:
    """The table that preprocess.offsets writes -> by each clip's id, how many video frames its lips are late of its
    sound. Raises UserError with the line at fault.
    """
    offsets = {}
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                offsets[row["clip"]] = float(row["offset"])
                if not math.isfinite(offsets[row["clip"]]):
                    raise ValueError
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path}: clip {len(offsets) + 1} of it has no id or offset; "
            "make the table with python -m preprocess.offsets"
        ) from error
    return offsets
