"""Words read from whole videos: where they lie, what subtitles say, and that a window reads as a clip of its own."""

from pathlib import Path

import pytest
import torch

from evaluation.reading import videos
from evaluation.reading.sliding import SeenMouth, WordRead, found_words
from evaluation.reading.videos import known_words, lines, subtitles, watch
from models.reading.reader import LipReader
from utils.align import Spoken
from utils.errors import UserError
from utils.face.mouth import to_mouth_network

WORDS = ["bin", "blue", "now"]
SMALL = dict(size=32, view=0.7, front=4, hearing=4, width=16, slots=8)


def network(**options) -> LipReader:
    torch.manual_seed(0)
    model = LipReader(WORDS, **SMALL | options).eval()
    with torch.no_grad():
        model.backend.out.weight.mul_(30)
    return model


class Track:
    """A face that is followed through so many frames, not seen for some of them"""

    def __init__(self, silent: list[bool]) -> None:
        self.silent = torch.tensor(silent).numpy()


def read(monkeypatch, model: LipReader, mouths: torch.Tensor, mirrored: bool = False, unseen=()) -> SeenMouth:
    silent = [number in unseen for number in range(len(mouths))]
    monkeypatch.setattr(videos, "track_face", lambda *_: Track(silent))
    monkeypatch.setattr(videos, "cut_from", lambda *_: iter(mouths.split(32)))
    return watch(model, Path("face.mp4"), mirrored)


def random_mouths(frames: int) -> torch.Tensor:
    return torch.randint(0, 256, (frames, 32, 32), dtype=torch.uint8)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("options", [{}, dict(memory=False), dict(boundary=True)])
def test_a_window_reads_as_the_clip_that_it_is(monkeypatch, options, mirrored):
    model, mouths = network(**options), random_mouths(29)
    inside = torch.zeros(1, 29)
    inside[:, 10:19] = 1
    views = [to_mouth_network(one)[None] for one in (mouths, mouths.flip(-1))][: 1 + mirrored]
    boundary = inside if options.get("boundary") else None
    expected = torch.stack([model(view, boundary=boundary).recalled for view in views]).mean(0).softmax(1)
    video = read(monkeypatch, model, mouths, mirrored)
    torch.testing.assert_close(video.shares([14], inside), expected, atol=1e-4, rtol=1e-3)
    (word,) = video.words_at([Spoken("blue", 10 / 25, 19 / 25)])
    assert word == WordRead(
        WORDS[int(expected.argmax())], 0.4, 0.76, pytest.approx(float(expected.max()), abs=1e-4), "blue"
    )


def test_words_lie_where_the_same_one_is_best_on_end():
    shares = torch.full((40, 3), 0.1)
    shares[5:12] = torch.tensor([0.9, 0.05, 0.05])
    shares[12:20] = torch.tensor([0.1, 0.1, 0.8])
    shares[25:26] = torch.tensor([0.0, 1.0, 0.0])  # a single frame is no word
    found = found_words(shares, WORDS, 0.5)
    assert [(word.word, round(25 * word.start), round(25 * word.end)) for word in found] == [
        ("bin", pytest.approx(5, abs=5), 12),
        ("now", 12, pytest.approx(20, abs=1)),
    ]
    assert [word.sure for word in found] == pytest.approx([0.9, 0.8])
    assert [word.word for word in found_words(shares, WORDS, 0.85)] == ["bin"]
    fading = torch.zeros(20, 3)
    fading[:, 1] = torch.tensor([*[0.1] * 6, 0.3, 0.5, 0.8, 0.9, 0.9, 0.9, 0.7, 0.5, 0.3, *[0.1] * 5])
    fading[:, 0] = 0.05
    (word,) = found_words(fading, WORDS, 0.5)
    assert (word.start, word.end) == (7 / 25, 14 / 25)  # not where another word is more likely, for none is


def test_nothing_is_read_where_no_face_is_seen(monkeypatch):
    mouths = random_mouths(60)
    everywhere = read(monkeypatch, network(), mouths).words(0)
    video = read(monkeypatch, network(), mouths, unseen=range(60))
    assert everywhere and not video.words(0.01)


@pytest.mark.parametrize("middle", [0, 5, 14, 30, 47, 59])
def test_a_window_within_a_video_reads_as_a_clip_of_a_store(monkeypatch, middle):
    """Beyond both ends the first and last frame are repeated, and the front-end sees nothing beyond the window."""
    model, mouths = network(), random_mouths(60)
    frames = [min(max(n, 0), 59) for n in range(middle - 14, middle + 15)]
    expected = model(to_mouth_network(mouths[frames])[None]).recalled.softmax(1)
    torch.testing.assert_close(read(monkeypatch, model, mouths).shares([middle]), expected)


def test_what_is_not_seen_is_no_words_and_lengthens_none(monkeypatch):
    shares = torch.zeros(60, 3)
    shares[:30] = torch.tensor([0.0, 0.9, 0.1])
    shares[25:30] = torch.tensor([0.9, 0.1, 0.0])  # the first class, up to where nothing is seen
    found = found_words(shares, WORDS, 0.5)
    assert [(word.word, round(25 * word.end)) for word in found] == [("blue", 25), ("bin", 30)]
    assert found_words(torch.zeros(60, 3), WORDS, 0.0) == []
    video = read(monkeypatch, network(), random_mouths(60), unseen=range(30, 60))
    words = video.words_at([Spoken("bin", 0.4, 0.6), Spoken("now", 1.6, 1.8)])
    assert [word.said for word in words] == ["bin"]
    assert video.words_at([Spoken("now", 1.6, 1.8)]) == []


def test_subtitles_and_lines():
    words = [WordRead("bin", 0.4, 1.0, 0.93, "bin"), WordRead("now", 3661.0, 3661.2, 0.5, "blue")]
    assert "".join(subtitles(words)) == (
        "1\n00:00:00,400 --> 00:00:01,000\nbin\n\n2\n01:01:01,000 --> 01:01:01,200\nnow\n\n"
    )
    first, second = lines(words)
    assert first.endswith("93 %  right") and second.endswith("50 %  said: blue")
    assert next(iter(lines([WordRead("bin", 0, 1, 1.0)]))).endswith("100 %")


def test_an_align_file_is_known_or_refused(tmp_path, monkeypatch):
    file = tmp_path / "clip.align"
    file.write_text("0 10000 sil\n10000 20000 bin\n20000 30000 now\n")
    assert known_words(file, WORDS) == [Spoken("bin", 0.4, 0.8), Spoken("now", 0.8, 1.2)]
    for text, words in (
        ("0 10000 sil\n", "no words with their times"),
        ("0 10000 bin\n10000 20000 dog\n", "'dog' is none of the network's 3 words: bin, blue, now"),
        ("0 bin\n", "is not a start, an end and a word"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=words):
            known_words(file, WORDS)
    with pytest.raises(UserError, match="no such file"):
        known_words(tmp_path / "nowhere.align", WORDS)
    with pytest.raises(
        UserError, match=r"face\.mp4: 'now' is said at 3\.00 s, and the video ends at 1\.16 s"
    ):
        read(monkeypatch, network(), random_mouths(29)).words_at([Spoken("now", 3.0, 3.2)])
