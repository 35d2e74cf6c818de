"""Clips that are kept ready, and how mouths change in training."""

import numpy as np
import pytest
import torch

from data.lips.mouths import KeptClips, change_mouths
from data.lips.speech import mouth_clip
from data.store import ClipStore
from tests.synthetic import make_store
from utils.face.mouth import MEAN


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    return ClipStore(make_store(tmp_path_factory.mktemp("store") / "grid.h5", clips=6, frames=30))


def test_kept_clips_are_the_same_and_are_let_go(store, monkeypatch):
    clips = KeptClips(lambda id: mouth_clip(store[id], 32, 1.0))
    first = clips[store.ids[0]]
    assert clips[store.ids[0]] is first
    monkeypatch.setattr("data.lips.mouths.CACHE", 2.5 * sum(part.nbytes for part in first))
    for id in store.ids:
        clips[id]
    assert list(clips.kept) == store.ids[-2:]
    assert clips.bytes == sum(part.nbytes for clip in clips.kept.values() for part in clip)


def changes(
    mirrored=1.0, angle=0.0, scale=0.0, x=0.0, y=0.0, contrast=0.0, hidden=(9.0, 9.0)
) -> torch.Tensor:
    return torch.tensor([[mirrored, angle, scale, x, y, contrast, *hidden]])


def test_mouths_change_as_drawn():
    mouths = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (1, 3, 32, 32), dtype=np.uint8))
    plain = change_mouths(mouths, None)
    torch.testing.assert_close(change_mouths(mouths, changes()), plain, rtol=0, atol=1e-4)
    torch.testing.assert_close(
        change_mouths(mouths, changes(mirrored=-1.0)), plain.flip(-1), rtol=0, atol=1e-4
    )
    shifted = change_mouths(mouths, changes(x=2 * 4 / 32))  # by four pixels
    torch.testing.assert_close(shifted[..., :20], plain[..., 4:24], rtol=0, atol=1e-4)
    torch.testing.assert_close(
        change_mouths(mouths, changes(contrast=0.5)), plain * np.exp(0.5), rtol=1e-4, atol=1e-3
    )
    hidden = change_mouths(mouths, changes(hidden=(-0.5, 0.25)))
    gone = hidden != plain
    assert (
        gone[:, :, 12:28, :16].float().mean() > 0.98 and gone.sum() <= 3 * 16 * 16
    )  # half as wide as the crop
    assert (hidden[gone] == 0).all() and MEAN > 0  # the mean grey
