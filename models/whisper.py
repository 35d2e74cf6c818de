"""Whisper's encoder (Radford et al. 2022): what a speech recogniser hears, fifty features a second.

The architecture and the definition of the features are OpenAI's, the weights of tiny.en come by convert.py. Short
sounds are heard as they are, with the first of the position encodings, instead of being filled up to 30 s.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.audio.mel import slaney_filters

RATE, FFT_SIZE, HOP = 16000, 400, 160
SAMPLES_PER_FEATURE = 2 * HOP  # the second convolution has a stride of two


class WhisperEncoder(nn.Module):
    """Sound to features, two every video frame. Sizes default to tiny.en's; positions: the most features at once."""

    def __init__(
        self, mels: int = 80, width: int = 384, layers: int = 4, heads: int = 6, positions: int = 1500
    ) -> None:
        super().__init__()
        if not heads or width % heads:
            raise ValueError(f"an encoder {width} wide cannot have {heads} heads")
        self.config = dict(mels=mels, width=width, layers=layers, heads=heads, positions=positions)
        self.register_buffer("mel_filters", torch.from_numpy(mel_filters(mels)))
        self.register_buffer("positions", torch.zeros(positions, width))
        self.conv1 = nn.Conv1d(mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(EncoderLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, sound: Tensor) -> Tensor:
        """sound (B, N) at 16 kHz in [-1, 1], N a multiple of 320 -> features (B, N / 320, D)"""
        return self.encode(self.log_mel(sound))

    def encode(self, mel: Tensor) -> Tensor:
        """mel (B, 80, 2 M) -> features (B, M, D)"""
        return self.layer_outputs(mel)[-1]

    def layer_outputs(self, mel: Tensor) -> list[Tensor]:
        """mel (B, 80, 2 M) -> features (B, M, D) after each layer, the last ones normalised"""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)  # (B, M, D)
        x = x + self.positions[: x.shape[1]]
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return [*outputs[:-1], self.norm(x)]

    def log_mel(self, sound: Tensor) -> Tensor:
        """sound (B, N) -> (B, 80, N / 160), as `log_mel` makes it"""
        return log_mel(sound, self.mel_filters)


def log_mel(sound: Tensor, filters: Tensor) -> Tensor:
    """sound (B, N), filters (80, 201) of `mel_filters` -> (B, 80, N / 160): log10 of the mel power, at most 8 below
    the loudest, over 4
    """
    window = torch.hann_window(FFT_SIZE, device=sound.device)
    spectrum = torch.stft(sound, FFT_SIZE, HOP, window=window, return_complex=True)[..., :-1]
    mel = (filters @ spectrum.abs().square()).clamp(min=1e-10).log10()
    mel = torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8.0)
    return (mel + 4.0) / 4.0


class EncoderLayer(nn.Module):
    """Self-attention and two linear layers, each on normalised features and added to them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, M, D) -> (B, M, D)"""
        heads = self.attention(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # (B, heads, M, D / heads) each
        heard = F.scaled_dot_product_attention(query, key, value)
        x = x + self.out(heard.transpose(1, 2).flatten(2))
        return x + self.linear2(F.gelu(self.linear1(self.norm(x))))


def mel_filters(count: int) -> np.ndarray:
    """(count, 201) float32: triangles equally spaced in Slaney's mel up to 8 kHz, each of the same area"""
    bins = np.linspace(0, RATE / 2, FFT_SIZE // 2 + 1)
    return slaney_filters(count, 0, RATE / 2, bins).astype(np.float32)
