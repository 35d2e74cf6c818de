"""Samples of lip-to-speech: windows, padding, letters, voices, and how mouths change."""

import numpy as np
import pytest
import torch

from data.lip2speech import MouthClips, MouthSamples, change_mouths, mouth_clip
from data.store import ClipStore
from tests.synthetic import make_store
from utils.audio.mel import mel_of
from utils.face.mouth import MEAN
from utils.letters import to_text


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    return ClipStore(make_store(tmp_path_factory.mktemp("store") / "grid.h5", clips=6, frames=30))


def samples(store, frames, **options) -> MouthSamples:
    return MouthSamples(store, store.ids, 32, 0.7, frames, seed=3, **options)


def test_a_window_is_a_stretch_of_picture_and_sound(store):
    clips = {id: mouth_clip(store[id], 32, 0.7) for id in store.ids}
    for number in range(8):
        sample = samples(store, 12)[number]
        assert sample["mouths"].shape == (12, 32, 32) and sample["mel"].shape == (80, 48)
        places = [
            (id, start)
            for id, clip in clips.items()
            for start in range(19)
            if torch.equal(clip.mouths[start : start + 12], sample["mouths"])
        ]
        ((id, start),) = places
        assert torch.equal(sample["mel"], mel_of(store[id].audio)[:, 4 * start : 4 * start + 48])
        assert torch.equal(sample["spectrum"], clips[id].spectrum[:, 4 * start : 4 * start + 48])
        assert sample["frames"] == 12 and sample["letter_count"] == 0  # part of a sentence has no transcript


def test_a_shorter_clip_is_padded_with_silence(store):
    sample = samples(store, 40)[0]
    assert sample["frames"] == 30 and sample["mouths"].shape[0] == 40
    assert (sample["mel"][:, 120:] == -1).all() and not sample["spectrum"][:, 120:].any()
    assert (sample["mel"][:, :120] > -1).any() and not sample["mouths"][30:].any()
    assert to_text([x for one in sample["letters"][: sample["letter_count"]].tolist() for x in (one, 0)]) == (
        "bin blue at f two now"
    )


def test_the_voice_is_another_clip_of_the_speaker(store):
    mels = {id: mel_of(store[id].audio) for id in store.ids}
    data = samples(store, 30, voice=True)
    for number in range(6):
        sample = data[number]
        assert sample["voice"].shape == (80, 300)
        own, other = (
            next(id for id, mel in mels.items() if torch.equal(mel, sample[name][:, :120]))
            for name in ("mel", "voice")
        )
        assert own != other and own.split("/")[0] == other.split("/")[0]


def test_kept_clips_are_the_same_and_are_let_go(store, monkeypatch):
    clips = MouthClips(store, 32, 1.0)
    first = clips[store.ids[0]]
    assert clips[store.ids[0]] is first
    monkeypatch.setattr("data.lip2speech.CACHE", 2.5 * sum(part.nbytes for part in first))
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


def test_drawn_changes_differ_and_repeat(store):
    data = samples(store, 12)
    drawn = torch.stack([data[number]["changes"] for number in range(40)])
    assert set(drawn[:, 0].tolist()) == {-1.0, 1.0} and 5 < (drawn[:, 6] > 1).sum() < 35
    assert torch.equal(data[7]["changes"], samples(store, 12)[7]["changes"])
    assert "changes" not in samples(store, 12, augment=False)[0]
