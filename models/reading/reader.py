"""Word lip reading with a visual-audio memory (Kim, Hong, Park and Ro, ICCV 2021).

What a mouth looks like asks a memory how it sounds; of both together a back-end says which word it is. In training the
true sound goes the same way, and fills the memory. S are video frames, 25 a second; a mel has four columns a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.layers import Freezable
from models.lips.frontend import VisualFrontend
from models.lips.generator import LipToSpeech
from models.lips.hearing import Hearing
from models.reading.backends import BACKENDS, inside
from models.reading.memory import Addresses, Fusion, HeadFusion, Memory


class Reading(NamedTuple):
    """Which word: logits (B, classes), recalled, of the mouth and the sound that it recalls, and heard, of the mouth
    and the true sound. addresses: in the memory. sound (B, S, D): what is heard, and rebuilt (B, S, D), what the memory
    makes of it. likeness (slots, slots): cosines between the values, with heads alone.

    Without a mel heard, addresses.heard, sound, rebuilt and likeness are None; without a memory addresses too, and
    recalled is of the mouth alone.
    """

    recalled: Tensor
    heard: Tensor | None = None
    addresses: Addresses | None = None
    sound: Tensor | None = None
    rebuilt: Tensor | None = None
    likeness: Tensor | None = None


class LipReader(Freezable):
    """mouths (B, S, H, W) -> `Reading`

    classes: the words. size, view: side in pixels, and share of the original's box, of the mouth crops that training
    used (utils.face.mouth). front, hearing: channels of the first visual and audio layers; width: of sound, memory and
    back-end; slots, radius, heads: the memory's (models.reading.memory), 0 heads for the ICCV paper's; backend: "GRU"
    or "MSTCN"; dropout: behind both front-ends and between the GRU's layers. Widths are the paper's by default.
    boundary: the back-end is told where the word is. pool3: as the original's visual front-end (models.lips.frontend).
    memory: False for the mouth alone, to compare. Raises ValueError for options that clash.
    """

    def __init__(
        self,
        classes: Sequence[str],
        size: int = 112,
        view: float = 1.0,
        front: int = 64,
        hearing: int = 128,
        width: int = 512,
        slots: int = 88,
        radius: float = 16.0,
        backend: str = "GRU",
        heads: int = 0,
        boundary: bool = False,
        dropout: float = 0.3,
        pool3: bool = False,
        memory: bool = True,
    ) -> None:
        super().__init__()
        if backend not in BACKENDS:
            raise ValueError(f"no back-end {backend}; there are {' and '.join(BACKENDS)}")
        self.classes = list(classes)
        self.config = dict(classes=self.classes, size=size, view=view, front=front, hearing=hearing)
        self.config |= dict(width=width, slots=slots, radius=radius, backend=backend, heads=heads)
        self.config |= dict(boundary=boundary, dropout=dropout, pool3=pool3, memory=memory)
        self.frontend = VisualFrontend(front, pool3)
        self.dropout = nn.Dropout(dropout)
        seen = self.frontend.features
        self.hearing = self.memory = self.fusion = None
        if memory:
            self.hearing = Hearing(width, hearing, dropout)
            self.memory = Memory(slots, seen, width, radius, heads)
            self.fusion = HeadFusion(seen, width, heads) if heads else Fusion(seen, width)
        features = self.fusion.features if memory else seen
        self.backend = BACKENDS[backend](features + boundary, width, len(self.classes), dropout)

    def forward(
        self,
        mouths: Tensor,
        mel: Tensor | None = None,
        boundary: Tensor | None = None,
        blind: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Reading:
        """mel (B, 80, 4 S): of utils.audio.log_mel; boundary (B, S): 1 in the word's frames, and 0

        blind (B,) true where `heard` is to be of the sound alone, as `listen` makes it (the paper has no such thing).
        lengths (B,): frames of each clip, without sound alone; what lies beyond is nothing to see.
        """
        if mel is not None and lengths is not None:
            raise ValueError("clips of unlike lengths are read without their sound")
        seen = self.see(mouths, lengths)
        recalled, asked = self.recall(seen, boundary, lengths)
        if self.memory is None:
            return Reading(recalled)
        if mel is None:
            return Reading(recalled, addresses=Addresses(asked, None))
        sound = self.hearing(mel)
        filed, rebuilt = self.memory.rebuild(sound)
        if blind is not None:
            seen = seen.masked_fill(blind.view(-1, 1, 1), 0)
        heard = self.classify(self.fusion.heard(seen, sound), boundary)
        likeness = self.memory.likeness() if self.config["heads"] else None
        return Reading(recalled, heard, Addresses(asked, filed), sound, rebuilt, likeness)

    def see(self, mouths: Tensor, lengths: Tensor | None = None) -> Tensor:
        """mouths (B, S, H, W), or what the front-end saw of them before (B, S, 8 front) -> (B, S, 8 front)"""
        if mouths.ndim == 3:
            return self.dropout(mouths)
        if lengths is not None:
            mouths = mouths * inside(lengths, mouths.shape[1], mouths.device)[..., None, None]
        return self.dropout(self.frontend(mouths))

    def recall(
        self, seen: Tensor, boundary: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """seen (B, S, F) of `see` -> logits (B, classes) of the mouth and the sound that it recalls, and its addresses;
        without a memory of the mouth alone, and None
        """
        if self.memory is None:
            return self.classify(seen, boundary, lengths), None
        asked, sound = self.memory.recall(seen)
        return self.classify(self.fusion.recalled(seen, sound), boundary, lengths), asked

    def listen(self, mel: Tensor, boundary: Tensor | None = None) -> Tensor:
        """mel (B, 80, 4 S) -> logits (B, classes) of the sound alone, which the paper's network has no way for

        The true sound is fused as ever, with zeros for what would be seen. Raises ValueError without a memory.
        """
        if self.memory is None:
            raise ValueError("this network has no memory, and hears nothing")
        sound = self.hearing(mel)
        nothing = sound.new_zeros(*sound.shape[:2], self.frontend.features)
        return self.classify(self.fusion.heard(nothing, sound), boundary)

    def classify(
        self, features: Tensor, boundary: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """features (B, S, F) of `see` or of the fusion -> logits (B, classes)

        Raises ValueError where the network is to be told where the word is, and is not.
        """
        if self.config["boundary"]:
            if boundary is None:
                raise ValueError("this network needs to know where the word is; give its boundary")
            features = torch.cat([features, boundary.unsqueeze(2).to(features)], dim=2)
        return self.backend(features, lengths)

    def start_from_lips(self, base: LipToSpeech) -> None:
        """Takes the visual front-end of a lip-to-speech network. Raises ValueError where it has another width."""
        own, other = self.config["front"], base.config["front"]
        if own != other:
            raise ValueError(f"its front-end has the width {other}, this one {own}")
        self.frontend.load_state_dict(base.frontend.state_dict())
