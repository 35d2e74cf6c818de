"""Lip-to-speech over videos of any length, in memory that hardly grows with them.

The front-end runs over chunks of frames, with the two frames either side that its 3-D convolution sees; the sentence
encoder runs over the whole clip, since what it reads and writes is small; decoder and postnet run over windows, with
margins as wide as they see. What comes out equals the whole clip at once. In clips longer than those of training each
column looks up the context of near frames alone: attention has not learnt to find its way in more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.lips.decoder import ROWS
from models.lips.generator import Context, LipToSpeech
from utils.audio.mel import COLUMNS
from utils.audio.vocoder import softened
from utils.face.mouth import to_mouth_network
from utils.letters import to_text

LONGEST_WHOLE = (
    75  # frames of the longest clips in which columns look up any frame: GRID's, which training shows
)
REACH = LONGEST_WHOLE // 2  # frames either side, in longer clips
FRONT_CHUNK, FRONT_MARGIN = 32, 2  # frames
WINDOW = 250  # frames that decoder and postnet make at a time
# Frames that reach a column of the spectrum through convolutions: of the decoder's inputs 24 at a column a frame, and 2
# of the first merge; 6 + 1 at two columns a frame; 3 at four, the postnet's 15 columns, and 4 of `softened`. The first
# attention asks from up to 17 frames away.
SEEN, ASKED = 41, 17
NOISE_BLOCK = 32  # frames whose noise is drawn together


class Piece(NamedTuple):
    """What is said in n frames: normalised mel (80, 4 n), and magnitudes (321, 4 n)"""

    mel: Tensor
    spectrum: Tensor


def look(model: LipToSpeech, mouths: Iterable[Tensor], flip: bool = True) -> Context:
    """mouths (k, H, W) uint8 piece by piece, T > 0 in all -> the clip's `Context`, of batch size 1

    flip: of batch size 2, the second is that of the mirrored clip.
    """
    device, features = next(model.parameters()).device, []
    with torch.inference_mode():
        for window, inside in overlapping(mouths, FRONT_CHUNK, FRONT_MARGIN):
            window = to_mouth_network(window.to(device))
            batch = torch.stack([window, window.flip(-1)] if flip else [window])
            features.append(model.frontend(batch)[:, inside])
        return model.read(torch.cat(features, dim=1))


def letters_of(seen: Context) -> str | None:
    """What `look` read, by the most likely letter of each frame; None for a network that does not read"""
    return None if seen.text is None else to_text(seen.text.softmax(-1).mean(0).argmax(-1).tolist())


def overlapping(pieces: Iterable[Tensor], length: int, margin: int) -> Iterator[tuple[Tensor, slice]]:
    """Rows (k, ...) piece by piece -> windows of `length` rows, the last shorter, with up to `margin` more either side

    With each goes which of its rows are its own. Only at the two ends margins are narrower.
    """
    held, before = None, 0  # rows, and how many of them were some window's own
    for piece in chain(pieces, [None]):
        if piece is not None:
            held = piece if held is None else torch.cat([held, piece])
        while held is not None and (left := len(held) - before) >= (1 if piece is None else length + margin):
            end = before + min(length, left)
            yield held[: end + margin], slice(before, end)
            dropped = max(0, end - margin)
            held, before = held[dropped:], end - dropped


def speak(
    model: LipToSpeech,
    seen: Context,
    seed: int = 0,
    voice: Tensor | None = None,
    window: int = WINDOW,
    softness: float = 0.0,
) -> Iterator[Piece]:
    """What `look` saw -> the clip's speech piece by piece, each of `window` frames, the last of fewer

    seed: of the noise; voice (80, M): a recording's mel, for a network with a choice of voices; softness: of the
    spectrum (`softened`). Of a clip and its mirrored self the mean mel counts, as in the original's test.
    """
    batch, frames, _ = seen.local.shape
    reach = reach_of(frames)
    margin = frames if reach is None else max(SEEN, ASKED + reach)
    if model.decoder is None:  # nothing is looked up, nor is there a place for noise
        margin = SEEN
    voice = None if voice is None else voice.to(seen.local).expand(batch, -1, -1)
    for start in range(0, frames, window):
        left, end = max(0, start - margin), min(frames, start + window)
        near = slice(left, min(frames, end + margin))
        part = Context(seen.local[:, near], seen.context[:, near], None)
        noise = None
        if model.decoder is not None:
            noise = draw_noise(model.config["noise"], near.start, near.stop, seed).expand(batch, -1, -1, -1)
        with torch.inference_mode():
            speech = model.speak(part, noise=noise, voice=voice, reach=reach)
            mel = speech.mels[2].mean(0, keepdim=True)
            spectrum = softened(model.postnet(mel), softness)
        inside = slice(COLUMNS * (start - left), COLUMNS * (end - left))
        yield Piece(mel[0, :, inside], spectrum[0, :, inside])


def reach_of(frames: int) -> int | None:
    """How many frames away the columns of a clip of so many frames look up the context; None: anywhere"""
    return None if frames <= LONGEST_WHOLE else REACH


def draw_noise(channels: int, start: int, stop: int, seed: int) -> Tensor:
    """The noise z (channels, 20, stop - start) of a stretch of frames: the same for a frame in whatever stretch"""
    first, last = start // NOISE_BLOCK, -(-stop // NOISE_BLOCK)
    shape = (channels, ROWS, NOISE_BLOCK)
    blocks = [
        np.random.default_rng([seed, block]).standard_normal(shape, np.float32)
        for block in range(first, last)
    ]
    offset = first * NOISE_BLOCK
    return torch.from_numpy(np.concatenate(blocks, axis=2)[..., start - offset : stop - offset])
