"""Head motion of any length, window by window, out of sound that arrives in pieces; memory does not grow.

A window makes what follows the motion before it. Its last half second is not kept, so that all that is kept has heard
what is said next; the window after goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from models.headmotion.generative import HeadMotion
from models.headmotion.original import RotateAudio
from utils.audio import SAMPLES_PER_FRAME
from utils.audio.loudness import DELTAS, Levels, features
from utils.audio.windows import CONTEXT

OVERLAP = 12  # frames: 0.48 s of a window are made again by the next
EASE = 25  # frames over which a head leaves its rest for the motion that it would be in
LIMITS = np.array(
    [0.436, 0.436, 0.436, 0.35, 0.35, 0.25], np.float32
)  # 25 degrees; face widths; log of the scale
FREE = 0.8  # of a limit, up to which nothing is held back


def motion_stream(
    network: HeadMotion,
    pieces: Iterable[np.ndarray],
    seed: int = 0,
    scale: float = 1.0,
    levels: Levels | None = None,
) -> Iterator[np.ndarray]:
    """Pieces (k,) of loudness in dB (`utils.audio.loudness`) -> pieces (n, 6) of head motion, float32, as many frames

    Units: `utils.face.motion`. The first frame is rest, zeros; angles stay below 25 degrees. The same seed makes
    the same motion, however the sound is cut. scale: of the motion, 1 as in training. levels: of the whole recording,
    where they are known; else what has been heard so far tells pauses from speech.
    """
    known, running = levels is not None, levels or Levels()

    def prepare(window: np.ndarray, new: int) -> np.ndarray:
        if not known:
            running.add(window[len(window) - new :][~np.isnan(window[len(window) - new :])])
        filled = np.where(np.isnan(window), running.range()[0], window)
        return features(filled, running, before=max(DELTAS))

    silence = np.full(1, np.nan, np.float32)  # in dB it is what pauses turn out to be
    rows = windows(pieces, network.past + max(DELTAS), network.frames, network.frames - OVERLAP, silence)
    return carry_on(network, rows, prepare, seed, scale * network.gain)


def sound_motion_stream(
    network: RotateAudio, pieces: Iterable[np.ndarray], scale: float = 1.0
) -> Iterator[np.ndarray]:
    """Pieces (k, 640) of frames of sound, at a root mean square of 1 -> as `motion_stream`"""
    before, after = network.past + CONTEXT, network.frames + CONTEXT
    silence = np.zeros((1, SAMPLES_PER_FRAME), np.float32)
    rows = windows(pieces, before, after, network.frames - OVERLAP, silence)
    return carry_on(network, rows, lambda window, _: window, 0, scale)


def windows(
    pieces: Iterable[np.ndarray], before: int, after: int, hop: int, pad: np.ndarray
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Pieces (k, ...) of rows -> windows (before + after, ...), how many of the last rows are new, how many are kept

    What is kept are the `hop` rows that follow the first `before` ones; the next window begins so much later. pad (1,
    ...): what is before the first row and after the last.
    """
    held, new = np.repeat(pad, before, axis=0), after
    for piece in pieces:
        held = np.concatenate([held, np.asarray(piece, np.float32)])
        while len(held) >= before + after:
            yield held[: before + after], new, hop
            held, new = held[hop:], hop
    while len(held) > before:
        missing = max(0, before + after - len(held))
        keep = min(hop, len(held) - before)
        yield np.concatenate([held, np.repeat(pad, missing, axis=0)])[: before + after], new, keep
        held, new = held[hop:], hop


def carry_on(
    network: nn.Module,
    rows: Iterable[tuple[np.ndarray, int, int]],
    prepare: Callable[[np.ndarray, int], np.ndarray],
    seed: int,
    scale: float,
) -> Iterator[np.ndarray]:
    """Windows of `windows` -> pieces of motion (n, 6). prepare: makes of a window's rows what the network hears"""
    device = network.deviation.device
    deviation = network.deviation
    past, begin = network.begin(noise(seed, -1, network.past).to(device)), 0
    bound = torch.from_numpy(LIMITS).to(device) / deviation
    for number, (window, new, keep) in enumerate(rows):
        heard = torch.from_numpy(np.ascontiguousarray(prepare(window, new))).to(device)[None]
        made = network.go_on(noise(seed, number, network.frames).to(device), past, heard)[:, :keep]
        made = made.clamp(-bound, bound)  # of what it has never seen, it might make anything
        past = torch.cat([past, made], dim=1)[:, -network.past :]
        motion = (made[0] * deviation).cpu().numpy() * np.float32(scale)
        yield within(motion * ease(begin, keep)[:, None], LIMITS)
        begin += keep


def noise(seed: int, number: int, frames: int) -> Tensor:
    """The chance of a window, of number -1 that of the past: (1, F, 6), the same for the same seed and number"""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63)
    return torch.randn(1, frames, 6, generator=generator)


def ease(begin: int, count: int) -> np.ndarray:
    """Shares (count,) of the motion that frames from `begin` on have: 0 in the first one, 1 after `EASE`"""
    part = ((begin + np.arange(count, dtype=np.float32)) / EASE).clip(0, 1)
    return part**3 * (10 - 15 * part + 6 * part**2)


def within(motion: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """motion (n, 6) as it is up to `FREE` of the limits, and ever less beyond, so that none is reached; float32"""
    size, room = np.abs(motion) / limits, 1 - FREE
    held = FREE + room * np.tanh(np.maximum(size - FREE, 0) / room)
    return np.where(size <= FREE, motion, np.sign(motion) * held * limits).astype(np.float32)
