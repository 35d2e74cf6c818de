"""Samples of lip-to-speech: windows, padding, letters, voices, and how mouths change."""

import pytest
import torch

from data.lips.speech import MouthSamples, at_tempo, mouth_clip
from data.store import ClipStore
from tests.synthetic import make_store
from utils.audio.mel import mel_of
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


def test_drawn_changes_differ_and_repeat(store):
    data = samples(store, 12)
    drawn = torch.stack([data[number]["changes"] for number in range(40)])
    assert set(drawn[:, 0].tolist()) == {-1.0, 1.0} and 5 < (drawn[:, 6] > 1).sum() < 35
    assert torch.equal(data[7]["changes"], samples(store, 12)[7]["changes"])
    assert "changes" not in samples(store, 12, augment=False)[0]


def test_a_sample_is_slower_or_faster_in_picture_and_sound_alike(store):
    data, (first, *_) = samples(store, 40, augment=False), store.ids
    whole = data.stretch(first, 0, 40)  # 30 frames and 10 of padding
    slow, fast = at_tempo(whole, 60), at_tempo(whole, 20)
    assert (whole["frames"], slow["frames"], fast["frames"]) == (30, 45, 15)
    for frames, made in ((60, slow), (20, fast)):
        assert made["mouths"].shape == (frames, 32, 32) and made["mouths"].dtype == torch.uint8
        assert made["mel"].shape == (80, 4 * frames) and made["spectrum"].dtype == torch.half
        places = (torch.arange(made["frames"]) + 0.5) * 40 / frames - 0.5  # of the new frames among the old
        nearest = places.round().clamp(0, 29).long()
        apart = (made["mouths"][: made["frames"]].float() - whole["mouths"][nearest]).abs().mean()
        assert apart < (whole["mouths"][:29].float() - whole["mouths"][1:30]).abs().mean()
        assert made["letter_count"] == whole["letter_count"] > 0
    middle = slow["mel"].unflatten(1, (-1, 3)).mean(2)[:, :55]  # three of its columns for two of the clip's
    torch.testing.assert_close(middle, whole["mel"].unflatten(1, (-1, 2)).mean(2)[:, :55], atol=0.15, rtol=0)
    assert at_tempo(whole, 40) is whole
    assert at_tempo(whole | dict(frames=torch.tensor(1)), 39)["frames"] == 1


def test_tempo_is_drawn_in_training_alone(store):
    plain, drawn = samples(store, 30), samples(store, 30, tempo=0.2)
    lengths = {int(drawn[number]["frames"]) for number in range(12)}
    assert len(lengths) > 3 and min(lengths) >= 24 and max(lengths) == 30
    assert all(drawn[number]["mouths"].shape == (30, 32, 32) for number in range(12))
    assert torch.equal(drawn[3]["mouths"], samples(store, 30, tempo=0.2)[3]["mouths"])
    still = samples(store, 30, augment=False, tempo=0.2)
    assert torch.equal(still[0]["mel"], samples(store, 30, augment=False)[0]["mel"])
    assert not torch.equal(plain[0]["mel"], drawn[0]["mel"])
