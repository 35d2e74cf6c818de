"""Videos forwards and backwards: each number is the same picture on every way."""

from fractions import Fraction

import av
import numpy as np
import pytest

from utils.errors import UserError
from utils.media import playback
from utils.media.playback import Recording
from utils.media.write import VideoWriter

SIZE = (64, 48)


def numbered(number: int) -> np.ndarray:
    """A picture that says its number, below 256, in eight bars"""
    picture = np.full((48, 64, 3), 40, np.uint8)
    for bit in range(8):
        picture[:, 8 * bit : 8 * bit + 8] = 220 if number >> bit & 1 else 40
    return picture


def number_of(picture: np.ndarray) -> int:
    return sum(1 << bit for bit in range(8) if picture[:, 8 * bit : 8 * bit + 8].mean() > 128)


def write(path, count: int, rate=25, codec: str | None = None, gop: int = 12):
    if codec is None:
        with VideoWriter(path, SIZE, rate) as video:
            for number in range(count):
                video.write(numbered(number))
        return path
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.gop_size, stream.bit_rate = gop, 4_000_000
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def played(path, count: int, hold: bool = False) -> list[tuple[int, int]]:
    return [(number, number_of(picture)) for number, picture in Recording(path).played(count, hold)]


def back_and_forth(length: int, count: int) -> list[int]:
    way = [*range(length), *range(length - 2, 0, -1)]
    return [way[i % len(way)] for i in range(count)]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", None), ("a.mpg", "mpeg1video"), ("a.avi", "mpeg4"), ("a.mkv", "libx264")]
)
def test_back_and_forth_shows_the_frames_of_the_way_there(tmp_path, monkeypatch, name, codec):
    monkeypatch.setattr(playback, "HELD", 7 * 64 * 48 * 3)
    path = write(tmp_path / name, 31, codec=codec)
    length = sum(1 for _ in Recording(path).forwards())
    assert length >= 30
    shown = played(path, 150)
    assert [number for number, _ in shown] == back_and_forth(length, 150)
    assert all(number == seen for number, seen in shown)


def test_frames_whose_times_are_out_of_order_are_shown_once(tmp_path):
    """As AVI has them, for H.264 with frames that look ahead"""
    path = write(tmp_path / "a.avi", 31, codec="libx264")
    seen = [number_of(picture) for picture in Recording(path).forwards()]
    assert seen == list(range(31))


def test_a_picture_of_another_size_ends_the_video(tmp_path):
    pieces = []
    for size, count in ((64, 20), (96, 20)):
        with av.open(str(tmp_path / f"{size}.ts"), "w", format="mpegts") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.width = stream.height = size
            stream.pix_fmt = "yuv420p"
            for number in range(count):
                picture = np.full((size, size, 3), 5 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        pieces.append((tmp_path / f"{size}.ts").read_bytes())
    (tmp_path / "joined.ts").write_bytes(b"".join(pieces))
    shapes = [picture.shape for picture in Recording(tmp_path / "joined.ts").forwards()]
    assert 15 < len(shapes) < 25 and set(shapes) == {(64, 64, 3)}


def test_the_shape_of_pixels_is_known_and_kept(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", SIZE, aspect=Fraction(5, 4)) as video:
        for number in range(3):
            video.write(numbered(number))
    recording = Recording(tmp_path / "a.mp4")
    assert len(list(recording.forwards())) == 3 and recording.aspect == Fraction(5, 4)
    write(tmp_path / "square.mp4", 3)
    assert Recording(tmp_path / "square.mp4").aspect is None


def test_a_file_that_cannot_be_searched_is_read_from_its_beginning(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", 20)
    monkeypatch.setattr(playback, "HELD", 6 * 64 * 48 * 3)
    recording = Recording(path)
    expected = [number_of(picture) for _, picture in recording.played(50)]
    seeking = recording._from

    def lost(source):
        recording.stamps = {}
        return seeking(source)

    monkeypatch.setattr(recording, "_from", lost)
    assert [number_of(picture) for _, picture in recording.played(50)] == expected


def test_the_last_picture_is_held_where_that_is_asked_for(tmp_path):
    path = write(tmp_path / "a.mp4", 5)
    assert played(path, 8, hold=True) == [(i, i) for i in (0, 1, 2, 3, 4, 4, 4, 4)]
    assert played(path, 3, hold=True) == [(0, 0), (1, 1), (2, 2)]


def test_a_video_of_one_picture_stands_still(tmp_path):
    path = write(tmp_path / "a.mp4", 1)
    assert played(path, 4) == [(0, 0)] * 4


@pytest.mark.parametrize("rate", [10, Fraction(24000, 1001), 30, 50])
def test_its_own_rate_is_kept(tmp_path, rate):
    recording = Recording(write(tmp_path / "a.mp4", 24, rate))
    assert recording.rate == pytest.approx(rate, rel=1e-3)
    assert [number_of(picture) for picture in recording.forwards()] == list(range(24))


def test_rates_beyond_sixty_are_halved_in_time_not_in_speed(tmp_path):
    recording = Recording(write(tmp_path / "a.mp4", 120, 120))
    assert recording.rate == 60
    seen = [number_of(picture) for picture in recording.forwards()]
    assert len(seen) == pytest.approx(60, abs=1) and np.all(np.diff(seen) >= 1)


def test_what_follows_a_damaged_part_is_left_out(tmp_path):
    path = write(tmp_path / "a.mpg", 60, codec="mpeg1video")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    seen = [number_of(picture) for picture in Recording(path).forwards()]
    assert 10 < len(seen) < 60 and seen == list(range(len(seen)))


def test_files_without_pictures_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("no video")
    with pytest.raises(UserError, match=r"a\.txt"):
        Recording(tmp_path / "a.txt")
