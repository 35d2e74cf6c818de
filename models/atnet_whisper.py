"""AT-net on what a recogniser hears: Whisper's frozen encoder and a small recurrent head, window by window.

Windows. The sound is heard in windows of 4 s, one a second: window w holds the video frames 25 w - 50 to 25 w + 49,
silence where the recording has not begun or has ended, and gives the frames 25 w to 25 w + 24. It goes on for `FADE`
frames, over which the next window's coefficients take over. So a frame hears two to three seconds back and one to two
ahead, and memory does not grow with the recording.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.atnet import LandmarkCoefficients
from models.layers import fold, unfold
from models.whisper import SAMPLES_PER_FEATURE, WhisperEncoder

SAMPLES = 640  # of a video frame
WINDOW, BEFORE, STEP, FADE = 100, 50, 25, 4  # video frames
AT_ONCE = 16  # windows, however long the recording
PER_FRAME = SAMPLES // SAMPLES_PER_FEATURE  # features of a video frame


class WhisperHead(nn.Module):
    """Features of a window to landmark coefficients."""

    def __init__(self, inputs: int, width: int, hidden: int, components: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(PER_FRAME * inputs, width)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(2))
        self.gru = nn.GRU(width, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, components)

    def forward(self, features: Tensor) -> Tensor:
        """features (B, T, 2 D), two moments of each video frame -> coefficients (B, T, K)"""
        x = F.gelu(self.linear(self.dropout(features))).transpose(1, 2)
        for convolution in self.convolutions:
            x = x + F.gelu(convolution(x))
        hidden, _ = self.gru(self.dropout(x.transpose(1, 2)))
        return self.out(hidden)


class WhisperATNet(LandmarkCoefficients):
    """Drives a face's landmark coefficients with speech as `WhisperEncoder` hears it; there is no example.

    encoder: its configuration; it is frozen. width, hidden, dropout: of the head, which alone is trained. gain: by
    which what the head makes is moved further away from rest, because on voices that it does not know it makes too
    little of them.
    """

    POSITIONS = PER_FRAME * WINDOW  # that its encoder knows

    def __init__(
        self,
        components: int = 6,
        width: int = 192,
        hidden: int = 128,
        dropout: float = 0.1,
        gain: float = 1.0,
        encoder: Mapping[str, int] | None = None,
        space: str = "motion",
    ) -> None:
        super().__init__(components, space)
        self.encoder = WhisperEncoder(**({"positions": self.POSITIONS} | dict(encoder or {})))
        self.encoder.requires_grad_(False)
        if self.encoder.config["positions"] < self.POSITIONS:
            raise ValueError(f"its encoder knows fewer than the {self.POSITIONS} positions of a window")
        self.config = dict(
            components=components,
            width=width,
            hidden=hidden,
            dropout=dropout,
            gain=gain,
            encoder=self.encoder.config,
            space=space,
        )
        self.head = WhisperHead(self.encoder.config["width"], width, hidden, components, dropout)

    def set_encoder(self, encoder: WhisperEncoder) -> None:
        """Takes the weights of another encoder of the same sizes, which may know more positions"""
        weights = encoder.state_dict()
        weights["positions"] = weights["positions"][: len(self.encoder.positions)]
        self.encoder.load_state_dict(weights)

    @torch.no_grad()
    def features(self, windows: Tensor) -> Tensor:
        """windows of sound (N, 64000) -> features (N, 100, 2 D): of each video frame its two, side by side

        The mean of all layers, each normalised: early ones know how it sounds, late ones what is said.
        """
        return torch.cat([self._hear(some) for some in windows.split(AT_ONCE)])

    def _hear(self, windows: Tensor) -> Tensor:
        layers = self.encoder.layer_outputs(self.encoder.log_mel(windows))
        heard = sum(F.layer_norm(one, one.shape[-1:]) for one in layers) / len(layers)
        return heard.unflatten(1, (-1, PER_FRAME)).flatten(2)

    def follow(self, features: Tensor) -> Tensor:
        """The features of a recording's windows (W, 100, 2 D) -> coefficients (25 W, K)"""
        return self.join(self.make(features)[None])[0][0]

    def make(self, features: Tensor) -> Tensor:
        """features (N, 100, 2 D) -> coefficients (N, 100, K)"""
        rest = -self.landmark_mean @ self.landmark_components  # the coefficients of no motion
        return torch.lerp(rest, self.head(features), self.config["gain"])

    def forward(self, audio: Tensor, example: Tensor | None = None) -> Tensor:
        """A whole recording's audio (B, T, 640) -> coefficients (B, T, K); an example is accepted and not used"""
        return self.stream(recording_windows(audio))[0][:, : audio.shape[1]]

    def stream(
        self, audio: Tensor, example: Tensor | None = None, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Successive windows (B, W, 64000), 25 frames apart -> coefficients (B, 25 W, K), state for the next ones."""
        return self.join(unfold(self.make(self.features(fold(audio))), len(audio)), state)

    @staticmethod
    def join(made: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What successive windows made, (B, W, 100, K) -> coefficients (B, 25 W, K), and how the last would go on

        state (B, 1, FADE, K): how the window before went on, from which the first one takes over.
        """
        kept = made[:, :, BEFORE : BEFORE + STEP]
        after = made[:, :, BEFORE + STEP : BEFORE + STEP + FADE]
        first = kept[:, :1, :FADE] if state is None else state
        share = (torch.arange(FADE, device=made.device) + 1.0)[:, None] / (FADE + 1)
        begin = torch.lerp(torch.cat([first, after[:, :-1]], dim=1), kept[:, :, :FADE], share)
        return torch.cat([begin, kept[:, :, FADE:]], dim=2).flatten(1, 2), after[:, -1:]


def recording_windows(audio: Tensor) -> Tensor:
    """A recording by video frames (B, T, 640) -> its windows (B, W, 64000), W = ceil(T / 25)"""
    count = -(-audio.shape[1] // STEP)
    after = STEP * (count - 1) + WINDOW - BEFORE - audio.shape[1]
    padded = F.pad(audio.flatten(1), (BEFORE * SAMPLES, after * SAMPLES))
    return padded.unfold(1, WINDOW * SAMPLES, STEP * SAMPLES)
