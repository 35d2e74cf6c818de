"""Sound whose loudness runs as smoothly between a spectrum's columns as the spectrum itself does.

Griffin and Lim find a sound of given magnitudes in windows of 40 ms. Within such a window their phases, which begin at
random, let the sound flutter as they like; where the magnitudes are a network's, they hardly tell it otherwise, and two
renderings of the same ones are unlike each other at the pace of speech that hearing, and STOI with it, goes by.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from utils.audio import SAMPLE_RATE
from utils.audio.mel import BINS, HOP, WINDOW, istft, slaney_edges, stft, triangles

SHORT, STEP = 400, HOP // 2  # samples of the windows in which loudness is steadied, and from one to the next
BANDS = 60  # of the spectrum, each steadied by itself
MOST = 50.0  # by what factor at most a band's power changes in a round
FAINT = 1e-7  # power that counts as none
ROUNDS = 10  # chosen on validation clips of GRID's s1


def steadied(sound: Tensor, magnitudes: Tensor, rounds: int = ROUNDS) -> Tensor:
    """sound (160 M,) of Griffin and Lim, magnitudes (321, M) that it is of -> (160 M,), steadied

    Each round brings the power of 60 bands in windows of 25 ms, every 5 ms, to what the magnitudes have there, by gains
    that are smooth over frequency; phases, and what a band is made of, stay, but what lies at 0 Hz and at half the rate
    goes. A sound no longer than a window stays.
    """
    if not rounds or len(sound) <= SHORT:
        return sound
    magnitudes = magnitudes.detach().to(sound).clamp(min=0)
    power = bands(BINS).to(sound) @ magnitudes.square() * (SHORT / WINDOW)  # noise is so much fainter in them
    wanted = halfway(power)
    own, spread = bands(SHORT // 2 + 1).to(sound), shares(SHORT // 2 + 1).to(sound)
    for _ in range(rounds):
        spectra = stft(sound, SHORT, STEP)
        gains = ((wanted + FAINT) / (own @ spectra.abs().square() + FAINT)).clamp(1 / MOST, MOST).sqrt()
        sound = istft(spectra * (spread.T @ gains), SHORT, STEP)
    return sound


def halfway(columns: Tensor) -> Tensor:
    """(B, M) -> (B, 2 M + 1): between each two columns their mean; the last one stays to the end"""
    following = torch.cat([columns[:, 1:], columns[:, -1:]], dim=1)
    between = torch.stack([columns, (columns + following) / 2], dim=2).flatten(1)
    return torch.cat([between, columns[:, -1:]], dim=1)


@lru_cache(maxsize=2)
def bands(bins: int) -> Tensor:
    """(60, bins): the weights of a spectrum's bins in each band's mean power"""
    return shares(bins) / shares(bins).sum(1, keepdim=True)


@lru_cache(maxsize=2)
def shares(bins: int) -> Tensor:
    """(60, bins): the bands' weights in each bin, triangles from 0 Hz to half the rate; 1 in all, but 0 at the ends"""
    edges = slaney_edges(BANDS, 0, SAMPLE_RATE / 2)
    weights = torch.from_numpy(triangles(edges, np.linspace(0, SAMPLE_RATE / 2, bins))).float()
    return weights / weights.sum(0).clamp(min=1e-9)
