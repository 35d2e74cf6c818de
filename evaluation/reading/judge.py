"""How convincing made faces are: how many of a clip's words the lip reader reads off them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from data.lips.words import FRAMES, NoTimesError, grid_words, word_window
from data.store import Clip
from evaluation.reading.sliding import SeenMouth
from models.reading.reader import LipReader
from utils.align import Spoken
from utils.face.mouth import cut_mouths, mouth_window

RIGHT, JUDGED = "words_read", "words_judged"  # names of figures
NAN = float("nan")


class LipJudge:
    """network: whose classes are GRID's words, or some of them; align: folder of .align files, as for preprocess.words

    mirrored: each clip is read with its mirror image.
    """

    def __init__(self, network: LipReader, align: Path | None = None, mirrored: bool = True) -> None:
        self.network, self.align, self.mirrored = network.eval(), align, mirrored

    def words(self, clip: Clip) -> list[Spoken]:
        """What is said in a clip, of the words that the network knows; nothing where nobody knows when

        As in stores of words, one whose middle the clip lacks is left out. Raises UserError for a damaged .align file.
        """
        try:
            spoken = grid_words(clip, self.align)
        except NoTimesError:
            return []
        known = [word for word in spoken if word.word in self.network.classes]
        first = int(clip.metadata.get("first_frame", 0))
        middles = [word_window(word.start, word.end, first)[0] + FRAMES // 2 for word in known]
        return [word for word, middle in zip(known, middles, strict=True) if 0 <= middle < clip.length]

    def scores(self, frames: np.ndarray, clip: Clip) -> dict[str, float]:
        """frames (T, H, W, 3) uint8 that were made for a clip of the store, in its crops, or (1, H, W, 3) of a still
        face -> the share of words that are read right in them, and of how many; nan where no time is known
        """
        spoken = self.words(clip)
        if not spoken:
            return {RIGHT: NAN, JUDGED: 0.0}
        size = self.network.config["size"]
        window = mouth_window(clip.landmarks, size, self.network.config["view"])
        pictures = torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, 1)
        mouths = cut_mouths(pictures, window, size).expand(clip.length, -1, -1)
        seen = SeenMouth(
            self.network, [mouths], torch.zeros(clip.length, dtype=torch.bool), self.mirrored, clip.id
        )
        read = seen.words_at(spoken, int(clip.metadata.get("first_frame", 0)))
        return {RIGHT: sum(word.word == word.said for word in read) / len(read), JUDGED: float(len(read))}
