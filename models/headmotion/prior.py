"""How heads move on the whole: a Gaussian process on each axis, which goes on from any past.

It knows how far heads move and how fast, by a power spectrum of each axis, and nothing of speech. What it makes of the
past, and which way chance takes it from there, is where the flow of `generative.py` begins.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NOISE = 3e-5  # of the variance: what of a past's motion is no motion, and smooth motion lacks to be a sum of noise


class MotionPrior(nn.Module):
    """Standard motion is motion over its deviation on each axis. deviation (6,); log_spectrum (6, past + frames + 1)

    It is kept as a spectrum, so that whatever rounding does to it, it stays one of a process.
    """

    def __init__(self, past: int, frames: int) -> None:
        super().__init__()
        self.past, self.frames = past, frames
        self.register_buffer("deviation", torch.ones(6))
        self.register_buffer("log_spectrum", torch.zeros(6, past + frames + 1))
        for name, shape in dict(
            carry=(6, frames, past), root=(6, frames, frames), unroot=(6, frames, frames)
        ).items():
            self.register_buffer(name, torch.zeros(shape), persistent=False)
        self.prepare()
        self.register_load_state_dict_post_hook(lambda module, _: module.prepare())

    def fit(self, clips: list[Tensor]) -> None:
        """clips of motion (T, 6), all with the same weight"""
        size = 2 * (self.past + self.frames)
        self.deviation.copy_(
            torch.stack([clip.square().mean(0) for clip in clips]).mean(0).sqrt().clamp(min=1e-4)
        )
        spectrum = torch.stack([power(clip / self.deviation, size) for clip in clips]).mean(0)
        self.log_spectrum.copy_((spectrum * size / total(spectrum)).clamp(min=1e-9).log())
        self.prepare()

    @torch.no_grad()
    def prepare(self) -> None:
        """The matrices of going on, out of the spectrum"""
        if self.log_spectrum.is_meta:
            return
        curves = torch.fft.irfft(self.log_spectrum.double().exp())[:, : self.past + self.frames]
        places = torch.arange(self.past + self.frames, device=curves.device)
        whole = curves[:, (places[:, None] - places).abs()]
        whole = whole + NOISE * torch.eye(len(places), dtype=whole.dtype, device=whole.device)
        before, across, after = whole[:, : self.past, : self.past], whole[:, self.past :, : self.past], None
        carry = torch.linalg.solve(before, across.mT).mT
        after = whole[:, self.past :, self.past :] - carry @ across.mT
        root = torch.linalg.cholesky(after)
        self.carry.copy_(carry)
        self.root.copy_(root)
        self.unroot.copy_(torch.linalg.inv(root))

    def expected(self, past: Tensor) -> Tensor:
        """past (B, P, 6), standard -> (B, F, 6): how it would go on without chance, back to rest"""
        return torch.einsum("afp,bpa->bfa", self.carry, past)

    def motion(self, chance: Tensor, past: Tensor) -> Tensor:
        """chance (B, F, 6), of variance 1 and white -> standard motion (B, F, 6) that goes on from the past"""
        return self.expected(past) + torch.einsum("afg,bga->bfa", self.root, chance)

    def chance(self, motion: Tensor, past: Tensor) -> Tensor:
        """The inverse of `motion`"""
        return torch.einsum("afg,bga->bfa", self.unroot, motion - self.expected(past))


def power(motion: Tensor, size: int) -> Tensor:
    """motion (T, A) about rest -> (A, size / 2 + 1) float64, by Welch's method, half-overlapping segments of `size`

    Hann windows keep what is slow, which is nearly all, out of what is fast.
    """
    length = min(size, len(motion))
    segments = motion.double().unfold(0, length, max(1, length // 2))  # (n, A, length)
    window = torch.hann_window(length, dtype=torch.float64, device=motion.device)
    return torch.fft.rfft(segments * window, n=size).abs().square().mean(0)


def total(spectrum: Tensor) -> Tensor:
    """(A, size / 2 + 1) -> (A, 1): the sum over all frequencies, of either sign"""
    return (2 * spectrum.sum(-1) - spectrum[:, 0] - spectrum[:, -1])[:, None]
