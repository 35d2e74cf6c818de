"""The lip reader's back-ends: any length, padding that changes nothing, the original's cut-off convolutions."""

import pytest
import torch
from torch import Tensor

from models.reading.backends import BACKENDS, Branch
from tests.models.lips.originals import lively
from tests.models.reading.reader_original import Chomped


def noisy(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("dilation", [1, 2, 4, 8])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_padding_and_cutting_is_the_same_as_padding_less(kernel, dilation):
    """In eval mode; also where a clip is shorter than what the convolution sees"""
    torch.manual_seed(0)
    theirs, own = lively(Chomped(4, 3, kernel, dilation)), Branch(4, 3, kernel, dilation).eval()
    names = dict(conv="conv", batchnorm="norm", non_lin="act")
    own.load_state_dict(
        {f"{names[name.split('.')[0]]}.{name.split('.')[1]}": x for name, x in theirs.state_dict().items()}
    )
    for frames in (1, 3, 29):
        maps = noisy(2, 4, frames)
        assert own(maps).shape == (2, 3, frames)
        torch.testing.assert_close(own(maps), theirs(maps))


@torch.no_grad()
@pytest.mark.parametrize("name", BACKENDS)
def test_what_lies_beyond_a_clips_end_does_not_count(name):
    torch.manual_seed(0)
    backend, lengths = lively(BACKENDS[name](6, 8, 5, 0.3)), torch.tensor([1, 4, 9])
    features = noisy(3, 9, 6)
    logits = backend(features, lengths)
    for clip, length in enumerate(lengths):
        alone = backend(features[clip : clip + 1, :length])
        torch.testing.assert_close(logits[clip : clip + 1], alone)
    for clip, length in enumerate(lengths):
        features[clip, length:] = 1e6
    torch.testing.assert_close(backend(features, lengths), logits)
    torch.testing.assert_close(backend(features[2:], lengths[2:]), backend(features[2:]))


@torch.no_grad()
@pytest.mark.parametrize("name", BACKENDS)
def test_every_frame_counts(name):
    torch.manual_seed(0)
    backend, features = lively(BACKENDS[name](6, 8, 5, 0.3)), noisy(1, 29, 6)
    logits = backend(features)
    for frame in (0, 14, 28):
        other = features.clone()
        other[0, frame] += 1
        assert (backend(other) - logits).abs().max() > 1e-4
