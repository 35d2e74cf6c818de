"""Lip-to-speech in windows: the same as the whole clip at once."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from models.lips.generator import LipToSpeech
from models.lips.windows import (
    ASKED,
    FRONT_CHUNK,
    LONGEST_WHOLE,
    REACH,
    SEEN,
    draw_noise,
    look,
    overlapping,
    reach_of,
    speak,
)
from tests.lips import small_lip_to_speech
from utils.audio.vocoder import softened
from utils.face.mouth import to_mouth_network


@pytest.fixture(scope="module")
def model() -> LipToSpeech:
    return small_lip_to_speech(rows=3, sketch=True, sketch_width=8)


def clip(frames: int) -> Tensor:
    return torch.randint(0, 256, (frames, 32, 32), dtype=torch.uint8, generator=torch.manual_seed(frames))


def cut(rows: Tensor, length: int) -> Iterator[Tensor]:
    return iter(rows.split(length))


@pytest.mark.parametrize("piece", [1, 7, 500])
@pytest.mark.parametrize("rows", [1, 3, 10, 11, 30])
def test_overlapping_windows_hold_each_row_once(rows, piece):
    whole, own = torch.arange(rows), []
    for window, inside in overlapping(cut(whole, piece), 10, 2):
        own.append(window[inside])
        assert len(own[-1]) == 10 or own[-1][-1] == rows - 1
        first, last = int(own[-1][0]), int(own[-1][-1])
        assert window.tolist() == list(range(max(0, first - 2), min(rows, last + 3)))
    assert torch.equal(torch.cat(own), whole)


@pytest.mark.parametrize("frames", [1, 2, FRONT_CHUNK, FRONT_CHUNK + 1, 2 * FRONT_CHUNK + 9])
def test_frames_seen_in_chunks_are_those_of_the_whole_clip(model, frames):
    mouths = clip(frames)
    seen = look(model, cut(mouths, 5))
    with torch.inference_mode():
        both = to_mouth_network(torch.stack([mouths, mouths.flip(-1)]))
        whole = model.look(both)
    for got, wanted in zip(seen, whole, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)
    alone = look(model, [mouths], flip=False)
    torch.testing.assert_close(alone.context, whole.context[:1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("frames", "window"), [(190, 60), (LONGEST_WHOLE, 30), (LONGEST_WHOLE + 1, 60)])
def test_windows_equal_the_whole_everywhere(model, frames, window):
    """Also next to every boundary, for what a column sees lies within the margin"""
    seen = look(model, [clip(frames)])
    pieces = list(speak(model, seen, seed=3, window=window, softness=2.0))
    assert [piece.mel.shape[1] for piece in pieces[:-1]] == [4 * window] * (len(pieces) - 1) != []
    noise = draw_noise(4, 0, frames, 3).expand(2, -1, -1, -1)
    with torch.inference_mode():
        mels = model.speak(seen, noise=noise, reach=reach_of(frames)).mels[2].mean(0, keepdim=True)
        spectrum = softened(model.postnet(mels), 2.0)
    made = torch.cat([piece.mel for piece in pieces], 1), torch.cat([piece.spectrum for piece in pieces], 1)
    assert mels.std(2).mean() > 0.1 and spectrum.std(2).mean() > 0.1  # over time
    torch.testing.assert_close(made[0], mels[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(made[1], spectrum[0], atol=1e-5, rtol=0)


def test_windows_equal_the_whole_without_a_decoder():
    model = small_lip_to_speech(sketch=True, sketch_width=8, decoder=0)
    seen = look(model, [clip(90)])
    (whole,), pieces = speak(model, seen, window=90), list(speak(model, seen, window=30, softness=0))
    assert len(pieces) == 3 and whole.spectrum.std(1).mean() > 0.1
    torch.testing.assert_close(
        torch.cat([one.spectrum for one in pieces], 1), whole.spectrum, atol=1e-5, rtol=0
    )


def test_margins_are_as_wide_as_columns_see_and_no_wider(model):
    """A change of the clip's first frame reaches exactly so far: the margins neither lack a frame nor waste many"""
    seen = look(model, [clip(190)])
    other = seen._replace(local=seen.local.clone(), context=seen.context.clone())
    other.local[:, 0] += 100
    plain, changed = (
        next(iter(speak(model, one, window=190, softness=1.0))).spectrum for one in (seen, other)
    )
    reached = int((plain != changed).any(0).nonzero().max())
    assert SEEN - 1 <= reached // 4 <= SEEN  # what is left of it at the far end may be rounded away
    other = seen._replace(context=seen.context.clone())
    other.context[:, 0] += 100
    changed = next(iter(speak(model, other, window=190, softness=1.0))).spectrum
    reached = int((plain != changed).any(0).nonzero().max())
    assert ASKED + REACH - 1 <= reached // 4 <= ASKED + REACH


def test_short_clips_look_up_any_frame(model):
    assert reach_of(LONGEST_WHOLE) is None and reach_of(LONGEST_WHOLE + 1) == REACH < LONGEST_WHOLE
    seen = look(model, [clip(LONGEST_WHOLE)])
    other = seen._replace(context=seen.context.clone())
    other.context[:, 0] += 100
    plain, changed = (next(iter(speak(model, one))).spectrum for one in (seen, other))
    assert (plain != changed).any(0)[-4:].any()


def test_noise_belongs_to_its_frame_and_seed():
    whole = draw_noise(3, 0, 100, 5)
    assert whole.shape == (3, 20, 100) and abs(whole.std() - 1) < 0.05 and abs(whole.mean()) < 0.05
    for start, stop in ((0, 1), (31, 33), (40, 100)):
        assert torch.equal(draw_noise(3, start, stop, 5), whole[..., start:stop])
    assert not torch.equal(draw_noise(3, 0, 32, 6), whole[..., :32])
    assert not torch.equal(whole[..., :32], whole[..., 32:64])


def test_the_mirrored_clip_counts_as_much(model):
    mouths = clip(20)
    plain, mirrored = (next(iter(speak(model, look(model, [one])))) for one in (mouths, mouths.flip(-1)))
    torch.testing.assert_close(plain.mel, mirrored.mel, atol=1e-5, rtol=0)
    alone = next(iter(speak(model, look(model, [mouths], flip=False))))
    assert (alone.mel - plain.mel).abs().max() > 1e-4


def test_a_chosen_voice_is_that_of_every_window():
    model = small_lip_to_speech(voice=6)
    seen, voice = look(model, [clip(90)]), torch.randn(80, 50, generator=torch.manual_seed(1))
    pieces = list(speak(model, seen, voice=voice, window=40))
    (whole,) = speak(model, seen, voice=voice, window=90)
    (other,) = speak(model, seen, voice=-voice, window=90)
    torch.testing.assert_close(torch.cat([p.mel for p in pieces], 1), whole.mel, atol=1e-5, rtol=0)
    assert (other.mel - whole.mel).abs().max() > 1e-4


def test_memory_of_long_clips_is_that_of_a_window(model, monkeypatch):
    """The decoder never gets more frames than a window and its margins"""
    lengths = []
    plain = model.decoder.forward

    def counted(known: Tensor, *rest: object):
        lengths.append(known.shape[-1])
        return plain(known, *rest)

    monkeypatch.setattr(model.decoder, "forward", counted)
    frames = sum(piece.mel.shape[1] for piece in speak(model, look(model, cut(clip(700), 50)), window=100))
    assert frames == 4 * 700 and max(lengths) == 100 + 2 * 54 and len(lengths) == 7
    assert np.ptp(lengths[1:-1]) == 0
