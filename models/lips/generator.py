"""Lip-to-speech: a silent mouth to mel and linear spectra (VCA-GAN, Kim, Hong and Ro, NeurIPS 2021, Section 3).

Front-end and sentence encoder make local features and a global context of the video; the decoder draws a mel spectrum
from the local ones in three sizes, and between them looks up the context (visual context attention); the postnet turns
the finest mel into magnitudes for a vocoder.

S are video frames, 25 a second; a mel has four columns a frame. Of D channels of the decoder, 512 as published, the
three sizes have D / 4, D / 8 and D / 16 (but no fewer than 16 and 8).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import Freezable
from models.lips.decoder import ROWS, SHRINKAGE, Decoder
from models.lips.frontend import VisualFrontend
from models.lips.sketch import Sketch
from models.lips.sound import Postnet, VoiceEncoder
from utils.letters import CLASSES

STAGES = "all", "sight", "speech"  # of training
ADDITIONS = {
    "rows",
    "sketch",
    "sketch_width",
}  # options that a network may have beyond those of its first weights


class Context(NamedTuple):
    """What is seen: local (B, S, F), context (B, S, C); text (B, S, 28), logits of letters, where the network reads."""

    local: Tensor
    context: Tensor
    text: Tensor | None


class Speech(NamedTuple):
    """What is said. Normalised mels (utils.audio.mel) of three sizes: (B, 20, S), (B, 40, 2 S), (B, 80, 4 S);
    spectrum (B, 321, 4 S) magnitudes; attention: over S frames, (B, S, S) of the first size, (B, 2 S, S) of the second,
    nothing of a network without a decoder; seen: the context that it was made of.
    """

    mels: tuple[Tensor, Tensor, Tensor]
    spectrum: Tensor
    attention: tuple[Tensor, Tensor]
    seen: Context


class LipToSpeech(Freezable):
    """mouths (B, S, H, W), lengths (B,) or None for all S -> `Speech`

    front, context, decoder, postnet: widths, the paper's by default; decoder 0: there is none, nor attention, and the
    sketch says it all. noise: channels of z. size, view: side in pixels, and share of the original's box, of the mouth
    crops that training used (utils.face.mouth). text: a head that writes letters; voice: numbers that describe the
    wanted voice, 0 for a network without a choice of voices; rows: channels in which local features and context tell
    each of the coarsest mel's 20 rows apart from the start, which narrow decoders hardly learn from the repeated
    features; sketch: a linear layer draws the mel from features and context, with a sketch_width convolutions over time
    of so many channels do too, and the decoder adds to it (none of these is in the paper). Padding beyond a clip's
    length is not attended to, nor heard by the sentence encoder.
    """

    def __init__(
        self,
        size: int = 112,
        view: float = 1.0,
        front: int = 64,
        context: int = 512,
        decoder: int = 512,
        postnet: int = 128,
        noise: int = 128,
        dropout: float = 0.3,
        text: bool = False,
        voice: int = 0,
        rows: int = 0,
        sketch: bool = False,
        sketch_width: int = 0,
    ) -> None:
        super().__init__()
        self.config = dict(
            size=size, view=view, front=front, context=context, decoder=decoder, postnet=postnet
        )
        self.config |= dict(noise=noise, dropout=dropout, text=text, voice=voice, rows=rows, sketch=sketch)
        self.config |= dict(sketch_width=sketch_width)
        self.frontend = VisualFrontend(front)
        local = self.frontend.features
        self.dropout = nn.Dropout(dropout)
        self.encoder = nn.GRU(local, context, 2, batch_first=True, bidirectional=True, dropout=dropout)
        self.summary = nn.Linear(2 * context, context)
        self.letters = nn.Linear(context, CLASSES) if text else None
        self.voice = VoiceEncoder(voice) if voice else None
        self.rows = nn.Linear(local + context, ROWS * rows) if rows else None
        self.sketch = Sketch(local + context, sketch_width, dropout) if sketch else None
        if sketch_width and not sketch:
            raise ValueError("a width is of the sketch, and there is none")
        if not decoder and (not sketch or rows or voice):
            raise ValueError(
                "without a decoder there has to be a sketch, and neither rows nor a choice of voices"
            )
        self.decoder = Decoder(local + voice, noise + rows, context, decoder) if decoder else None
        self.postnet = Postnet(postnet)
        self.stage = "all"

    def forward(
        self,
        mouths: Tensor,
        lengths: Tensor | None = None,
        noise: Tensor | None = None,
        voice: Tensor | None = None,
    ) -> Speech:
        """noise (B, Z, 20, S): drawn anew if None; voice (B, 80, M): a recording's mel, for a choice of voices"""
        seen = self.look(mouths, lengths)
        return self.draft(seen) if self.stage == "sight" else self.speak(seen, lengths, noise, voice)

    def train_stage(self, stage: str, keep_stem: bool = False) -> None:
        """From now on training changes, of `STAGES`, "sight": what sees, sketch and postnet, and no decoder is asked;
        "speech": decoder, sketch and postnet; or "all". keep_stem: but for the front-end's 3-D convolution.
        """
        sight = [self.frontend, self.encoder, self.summary, self.letters, self.dropout]
        rest = dict(all=[], sight=[self.decoder, self.rows, self.voice], speech=sight)[stage]
        self.stage = stage
        self.freeze([part for part in rest if part is not None] + [self.frontend.stem] * keep_stem)

    def differs_from(self, other: LipToSpeech) -> set[str]:
        """The options that have another value there"""
        return {name for name, value in self.config.items() if other.config[name] != value}

    def lacks(self) -> set[str]:
        """Which of `ADDITIONS` it does without"""
        return {name for name in ADDITIONS if not self.config[name]}

    def grow_from(self, base: LipToSpeech) -> list[str]:
        """Takes the weights of a network that sees alike -> what of them it has no place for

        Where this one only adds rows, sketch or the sketch's convolutions, it gives what that one gave.
        """
        changed = self.differs_from(base) - base.lacks()
        drawing = bool({"decoder", "noise", "rows"} & changed)
        lost = dict(
            decoder=drawing, rows=drawing, postnet="postnet" in changed, sketch=not self.config["sketch"]
        )
        lost |= {"sketch.layers": "sketch_width" in changed}
        parts = tuple(f"{part}." for part, gone in lost.items() if gone)
        own = self.state_dict()
        for name, tensor in base.state_dict().items():
            if name.startswith(parts):
                continue
            if tensor.shape == own[name].shape:
                own[name].copy_(tensor)
            elif tensor.ndim == 4:  # the decoder's first convolutions, whose last inputs are the rows
                own[name].zero_()
                own[name][:, : tensor.shape[1]] = tensor
            else:  # their normalisation
                own[name][: len(tensor)] = tensor
        if self.sketch is not None and base.sketch is None:
            nn.init.zeros_(self.sketch.weight)
            nn.init.zeros_(self.sketch.bias)
        return [
            part
            for part, gone in lost.items()
            if gone and any(n.startswith(f"{part}.") for n in base.state_dict())
        ]

    def look(self, mouths: Tensor, lengths: Tensor | None = None) -> Context:
        """The front-end and the sentence encoder (Section 3.1)

        Beyond a clip's end there is nothing to see, as the front-end's convolution has it before the first frame.
        """
        if lengths is not None:
            inside = torch.arange(mouths.shape[1], device=mouths.device) < lengths.to(mouths.device).view(
                -1, 1
            )
            mouths = mouths * inside[..., None, None]
        return self.read(self.frontend(mouths), lengths)

    def read(self, local: Tensor, lengths: Tensor | None = None) -> Context:
        """local (B, S, F), what the front-end made -> what the sentence encoder adds"""
        local = self.dropout(local)
        heard = self._encode(local, lengths)
        context = self.summary(heard)
        return Context(local, context, self.letters(context) if self.letters else None)

    def _encode(self, local: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is None:
            return self.encoder(local)[0]
        packed = nn.utils.rnn.pack_padded_sequence(local, lengths.cpu(), True, enforce_sorted=False)
        heard = self.encoder(packed)[0]
        return nn.utils.rnn.pad_packed_sequence(heard, True, total_length=local.shape[1])[0]

    def speak(
        self,
        seen: Context,
        lengths: Tensor | None = None,
        noise: Tensor | None = None,
        voice: Tensor | None = None,
        reach: int | None = None,
    ) -> Speech:
        """The decoder and the postnet. reach: how many frames away it may look up the context (None: anywhere)."""
        if self.decoder is None:
            return self.draft(seen)
        batch, steps, _ = seen.local.shape
        if noise is None:
            noise = torch.randn(batch, self.config["noise"], ROWS, steps, device=seen.local.device)
        columns = [seen.local.transpose(1, 2)]
        if self.voice:
            if voice is None:
                raise ValueError("this network needs a recording of the wanted voice")
            columns.append(self.voice(voice).unsqueeze(2).expand(-1, -1, steps))
        rows = [noise.to(seen.local)]
        if self.rows:
            own = self.rows(torch.cat([seen.local, seen.context], dim=2)).unflatten(2, (ROWS, -1))
            rows.append(own.permute(0, 3, 2, 1))
        mask = attention_mask(steps, lengths, reach, seen.local.device)
        known = torch.cat(columns, dim=1), torch.cat(rows, dim=1)
        mels, attention = self.decoder(*known, seen.context, mask, self._sketch(seen))
        return Speech(mels, self.postnet(mels[2]), attention, seen)

    def draft(self, seen: Context) -> Speech:
        """What sketch and postnet say without the decoder, and so without attention"""
        drawn = self._sketch(seen)
        mels = tuple(F.avg_pool2d(drawn, factor).tanh() for factor in SHRINKAGE)
        return Speech(mels, self.postnet(mels[2]), (), seen)

    def _sketch(self, seen: Context) -> Tensor | None:
        """(B, 80, 4 S), before tanh"""
        return None if self.sketch is None else self.sketch(torch.cat([seen.local, seen.context], dim=2))


def attention_mask(
    steps: int, lengths: Tensor | None, reach: int | None, device: torch.device
) -> Tensor | None:
    """(B or 1, S, S): which frames (last) each frame's columns may look at; None for all"""
    frames = torch.arange(steps, device=device)
    mask = None
    if lengths is not None:
        mask = (frames < lengths.to(device).view(-1, 1, 1)).expand(-1, steps, -1)
    if reach is not None and reach < steps - 1:
        near = (frames.view(1, -1, 1) - frames).abs() <= reach
        mask = near if mask is None else mask & near
    return mask
