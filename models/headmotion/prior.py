"""How heads move on the whole: a Gaussian process on each axis, which goes on from any past.

It knows how far heads move and how fast, by a power spectrum of each axis. Of speech it knows that loud words come with
larger pushes: chance, which is white noise where a head goes on, is the larger or smaller, frame by frame, for what is
heard about it. Where it takes a head is where the flow of `generative.py` begins.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BUMPS = (
    -12,
    -6,
    0,
    6,
    12,
    18,
)  # frames by which heard loudness is later: heads move before the words that move them
SPREAD = 4.0  # frames, of each bump's Gaussian
ROUNDS, RIDGE = 40, 1.0  # of the fit of what loudness does; windows that doubt each bump is worth
MOST = 400  # clips that it is fitted on
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
        self.register_buffer("level", torch.zeros(6))  # logarithms of the pushes' sizes
        self.register_buffer(
            "loud", torch.zeros(2, len(BUMPS))
        )  # of each bump its mean, and what more of it does
        self.register_buffer("before", torch.zeros(6, past, past), persistent=False)
        self.register_buffer("carry", torch.zeros(6, frames, past), persistent=False)
        self.register_buffer("root", torch.zeros(6, frames, frames), persistent=False)
        self.register_buffer("unroot", torch.zeros(6, frames, frames), persistent=False)
        self.prepare()
        self.register_load_state_dict_post_hook(lambda module, _: module.prepare())

    def fit(self, clips: list[Tensor], heard: list[Tensor]) -> None:
        """clips of motion (T, 6), and their loudness (T, 3) as `utils.audio.loudness.features`; all have one weight"""
        size = 2 * (self.past + self.frames)
        self.deviation.copy_(
            torch.stack([clip.square().mean(0) for clip in clips]).mean(0).sqrt().clamp(min=1e-4)
        )
        spectrum = torch.stack([power(clip / self.deviation, size) for clip in clips]).mean(0)
        self.log_spectrum.copy_((spectrum * size / total(spectrum)).clamp(min=1e-9).log())
        self.prepare()
        self._fit_loudness(clips[:: -(-len(clips) // MOST)], heard[:: -(-len(clips) // MOST)])

    def _fit_loudness(self, clips: list[Tensor], heard: list[Tensor]) -> None:
        """Maximum likelihood of the pushes of all windows, as normal with a size that depends on loudness"""
        size, step = self.past + self.frames, max(1, self.frames // 2)
        pairs = [
            ((clip / self.deviation).unfold(0, size, step).mT, loud.unfold(0, size, step).mT)
            for clip, loud in zip(clips, heard, strict=True)
            if len(clip) >= size
        ]
        if not pairs:
            return
        motion, loudness = (torch.cat(one) for one in zip(*pairs, strict=True))
        squares = self.chance(motion[:, self.past :], motion[:, : self.past]).double().square()  # (n, F, 6)
        bumps = self.bumps(loudness).double()
        mean = bumps.mean((0, 1))
        level, does = (
            torch.zeros(count, dtype=torch.float64, requires_grad=True) for count in (6, len(BUMPS))
        )
        fit = torch.optim.LBFGS([level, does], max_iter=ROUNDS, line_search_fn="strong_wolfe")

        def unlikely() -> Tensor:
            fit.zero_grad()
            sizes = level + ((bumps - mean) @ does)[..., None]
            loss = (sizes + 0.5 * squares * (-2 * sizes).exp()).mean() + RIDGE / len(
                bumps
            ) * does.square().sum()
            loss.backward()
            return loss

        fit.step(unlikely)
        self.level.copy_(level.detach())
        self.loud.copy_(torch.stack([mean, does.detach()]))

    def bumps(self, loudness: Tensor) -> Tensor:
        """loudness (B, P + F, 3) -> (B, F, bumps): how loud it is so many frames later"""
        reach = max(map(abs, BUMPS)) + round(3 * SPREAD)
        padded = F.pad(loudness[:, None, :, 0], (reach, reach), mode="replicate")  # (B, 1, ...)
        places = torch.arange(-reach, reach + 1, device=loudness.device)
        kernels = torch.stack([torch.exp(-0.5 * ((places - place) / SPREAD) ** 2) for place in BUMPS])
        kernels = kernels / kernels.sum(-1, keepdim=True)
        return F.conv1d(padded, kernels[:, None]).mT[:, self.past :]

    def sizes(self, loudness: Tensor, emphasis: float = 1.0) -> Tensor:
        """loudness (B, P + F, 3) -> (B, F, 6): of the pushes; emphasis: how much more than it does it shall"""
        mean, does = self.loud
        livelier = (self.bumps(loudness) - mean) @ does
        return (self.level + emphasis * livelier[..., None]).exp()

    @torch.no_grad()
    def prepare(self) -> None:
        """The matrices of going on, out of the spectrum"""
        if self.log_spectrum.is_meta:
            return
        curves = torch.fft.irfft(self.log_spectrum.double().exp())[:, : self.past + self.frames]
        places = torch.arange(self.past + self.frames, device=curves.device)
        whole = curves[:, (places[:, None] - places).abs()]
        whole = whole + NOISE * torch.eye(len(places), dtype=whole.dtype, device=whole.device)
        before, across = whole[:, : self.past, : self.past], whole[:, self.past :, : self.past]
        carry = torch.linalg.solve(before, across.mT).mT
        after = whole[:, self.past :, self.past :] - carry @ across.mT
        root = torch.linalg.cholesky(after)
        self.before.copy_(torch.linalg.cholesky(before))
        self.carry.copy_(carry)
        self.root.copy_(root)
        self.unroot.copy_(torch.linalg.inv(root))

    def begin(self, chance: Tensor) -> Tensor:
        """chance (B, P, 6), white -> a past (B, P, 6), standard, of a head that has been moving for long"""
        return torch.einsum("apq,bqa->bpa", self.before, chance)

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
