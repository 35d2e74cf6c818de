"""Speech to frames: in pieces as at once, of any length, and at rest where nothing moves."""

import itertools

import numpy as np
import pytest
import torch

from animation.stream import Subject, audio_windows, frame_stream, landmark_stream, rechunk
from models import ATNet, ATNetSingle, VGNet
from utils.audio.mfcc import windows
from utils.face.basis import LandmarkBasis
from utils.face.landmarks import TEMPLATE, mouth_opening, normalise

SMALL = dict(channels=(4, 4, 4, 4, 4), audio_features=(16, 8))


def networks(kind=ATNet):
    torch.manual_seed(0)
    sizes = SMALL | (dict(example_features=(8, 8), hidden=8, layers=2) if kind is ATNet else {})
    at_net, vg_net = kind(**sizes).eval(), VGNet(width=4, blocks=1, size=32).eval()
    rng = np.random.default_rng(0)
    at_net.set_basis(0.1 * rng.normal(size=136), np.linalg.qr(rng.normal(size=(136, 6)))[0], np.ones(6), 0.02)
    for parameter in vg_net.parameters():
        parameter.data *= 3  # so that differences show in the frames
    return at_net, vg_net


def subject_of(at_net) -> Subject:
    return Subject.from_crop(LandmarkBasis.of(at_net), (TEMPLATE + 0.5) / 4 - 0.5, 32)


def speech(seconds: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, round(16000 * seconds)).astype(np.float32)


def frames_in_chunks(at_net, vg_net, image, blocks, chunk):
    landmarks = landmark_stream(at_net, subject_of(at_net), rechunk(audio_windows(blocks), chunk))
    return frame_stream(vg_net, image, subject_of(at_net).example_landmarks, landmarks)


@pytest.mark.parametrize("kind", [ATNet, ATNetSingle])
@pytest.mark.parametrize(("block", "chunk"), [(16000, 1), (1000, 7), (333, 64)])
def test_streamed_equals_whole(kind, block, chunk):
    at_net, vg_net = networks(kind)
    subject, audio = subject_of(at_net), speech(2.5)
    image = torch.rand(3, 32, 32) * 2 - 1
    with torch.inference_mode():
        coefficients = at_net(
            torch.from_numpy(windows(audio, 63))[None], torch.from_numpy(subject.example)[None]
        )
        landmarks = torch.from_numpy(subject.landmarks(coefficients[0].numpy()))
        example = torch.from_numpy(subject.example_landmarks)
        whole = vg_net(image[None], landmarks[None], example[None]).frames[0]
    assert (whole[1:] - whole[:-1]).abs().max() > 0.01
    blocks = (audio[start : start + block] for start in range(0, len(audio), block))
    pieces = list(frames_in_chunks(at_net, vg_net, image, blocks, chunk))
    assert [len(piece) for piece, _ in pieces[:-1]] == [chunk] * (63 // chunk - (63 % chunk == 0))
    streamed = torch.cat([output.frames[0] for _, output in pieces])
    torch.testing.assert_close(streamed, whole, rtol=0, atol=1e-4)
    np.testing.assert_allclose(np.concatenate([piece for piece, _ in pieces]), landmarks, atol=1e-5)


def test_sound_is_taken_only_as_it_is_needed():
    taken = itertools.count()
    endless = (speech(0.1) for _ in taken)
    at_net, vg_net = networks()
    stream = frames_in_chunks(at_net, vg_net, torch.zeros(3, 32, 32), endless, 4)
    for _ in range(20):
        next(stream)
    assert next(taken) <= 20 * 4 * 0.4 + 5  # 80 frames are 32 blocks; the last window looks 3 frames ahead


def test_rechunk_keeps_every_row():
    rows = np.arange(23)[:, None]
    pieces = list(rechunk(iter([rows[:1], rows[1:1], rows[1:12], rows[12:]]), 5))
    assert [len(piece) for piece in pieces] == [5, 5, 5, 5, 3]
    assert np.array_equal(np.concatenate(pieces), rows)
    assert list(rechunk(iter([]), 5)) == []
    for first in (1, 3, 4, 12):
        pieces = list(rechunk(iter([rows[:1], rows[1:1], rows[1:12], rows[12:]]), 5, first))
        np.testing.assert_array_equal(np.concatenate(pieces), rows)
        assert len(pieces[0]) == min(first, len(rows)) and {len(piece) for piece in pieces[1:-1]} <= {5}


def test_no_motion_is_the_photo_with_its_mouth_at_rest():
    rng = np.random.default_rng(0)
    opening = np.zeros((68, 2))
    opening[[65, 66, 67], 1] = 1
    components = np.linalg.qr(np.column_stack([opening.reshape(136), rng.normal(size=(136, 5))]))[0]
    basis = LandmarkBasis(
        np.zeros(136), components, np.ones(6), rest_opening=float(mouth_opening(TEMPLATE)) / 64
    )
    wide = TEMPLATE.copy()
    wide[[65, 66, 67], 1] += 8
    subject = Subject.from_crop(basis, wide, 128)
    np.testing.assert_allclose(subject.example_landmarks, normalise(wide))
    still = subject.pixels(subject.landmarks(subject.example[None]), 128)[0]
    assert mouth_opening(wide) > mouth_opening(TEMPLATE) + 7
    assert mouth_opening(still) == pytest.approx(mouth_opening(TEMPLATE), abs=0.5)
    np.testing.assert_allclose(still[:48], wide[:48], atol=1.0)
