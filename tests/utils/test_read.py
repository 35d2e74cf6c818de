import struct

import numpy as np
import pytest

from tests.raw_corpus import make_pictures_video, make_video, tone, write_wav
from utils.errors import UserError
from utils.media.read import read_audio, read_video, stream_audio, video_start
from utils.media.write import VideoWriter


def numbered(count: int, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Grey pictures, each brighter than the one before by 8"""
    return [np.full((height, width, 3), 20 + 8 * i, np.uint8) for i in range(count)]


def brightness(path) -> list[int]:
    """Which of the numbered pictures each frame shows"""
    return [round((float(frame.mean()) - 20) / 8) for frame in read_video(path)]


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (25, list(range(20))),
        (50, list(range(0, 20, 2))),
        (10, [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4]),
    ],
)
def test_video_comes_at_25_frames_a_second(tmp_path, fps, expected):
    path = make_pictures_video(tmp_path / "a.mp4", numbered(20 if fps > 10 else 5), fps)
    shown = brightness(path)
    assert len(shown) == pytest.approx(len(expected), abs=1)
    assert shown[:12] == pytest.approx(expected[: len(shown)][:12], abs=1)
    if fps > 10:
        assert shown == expected


def test_a_video_of_30_frames_a_second_keeps_its_length_and_time(tmp_path):
    shown = brightness(make_pictures_video(tmp_path / "a.mp4", numbered(24), 30))
    assert len(shown) == 20
    assert np.abs(np.array(shown) - np.arange(20) * 30 / 25).max() <= 0.51


def test_frames_are_rgb_with_true_colours(tmp_path):
    picture = np.zeros((720, 1280, 3), np.uint8)
    picture[:, :400], picture[:, 400:800], picture[:, 800:] = (200, 30, 30), (30, 180, 40), (40, 60, 210)
    frame = next(read_video(make_pictures_video(tmp_path / "a.mp4", [picture] * 2)))
    for column in (200, 600, 1000):
        assert np.abs(frame[360, column].astype(int) - picture[360, column]).max() <= 6


def test_a_turned_telephone_video_is_upright(tmp_path):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, :48] = 255  # left half white: after a quarter turn clockwise, the upper half
    path = make_pictures_video(tmp_path / "a.mp4", [picture] * 3)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 64 << 16, 0, 1 << 30)
    path.write_bytes(data)
    frame = next(read_video(path))
    assert frame.shape == (96, 64, 3)
    assert frame[20].mean() > 240 and frame[76].mean() < 15


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2), (8000, 1), (48000, 6)])
def test_sound_of_any_rate_and_channels(tmp_path, rate, channels):
    sound = np.repeat(tone(rate, rate)[:, None], channels, 1)
    audio = read_audio(write_wav(tmp_path / "a.wav", sound, rate))
    assert audio.dtype == np.float32 and abs(len(audio) - 16000) <= 32
    middle = slice(2000, 14000)
    assert np.abs(audio[middle] - tone(16000)[middle]).max() < 0.02


def test_streamed_sound_equals_the_whole(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone(44100), 44100)
    blocks = list(stream_audio(path, block=1000))
    assert {len(block) for block in blocks[:-1]} == {1000} and 0 < len(blocks[-1]) <= 1000
    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(path))


def test_start_cuts_or_pads(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone(16000))
    whole = read_audio(path)
    np.testing.assert_array_equal(read_audio(path, start=0.25), whole[4000:])
    np.testing.assert_array_equal(read_audio(path, start=-0.5), np.pad(whole, (8000, 0)))


def test_sound_of_a_video(tmp_path):
    make_video(tmp_path / "a.mp4", frames=25)
    audio = read_audio(tmp_path / "a.mp4", start=video_start(tmp_path / "a.mp4"))
    assert abs(len(audio) - 16000) <= 2048 and 0.4 < np.abs(audio).max() < 0.6


@pytest.mark.parametrize("read", [read_audio, lambda path: list(read_video(path))])
def test_files_that_cannot_be_read(tmp_path, read):
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(UserError, match=r"empty\.mp4: the file is empty"):
        read(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("this is no video " * 100)
    with pytest.raises(UserError, match=r"text\.mp4: neither video nor sound"):
        read(tmp_path / "text.mp4")


def test_missing_streams(tmp_path):
    make_video(tmp_path / "silent.mp4", frames=3, sound=False)
    with pytest.raises(UserError, match="has no sound"):
        stream_audio(tmp_path / "silent.mp4")
    with pytest.raises(UserError, match="has no video"):
        read_video(write_wav(tmp_path / "a.wav", tone(1600)))
    with pytest.raises(UserError, match="sound is empty"):
        read_audio(write_wav(tmp_path / "nothing.wav", np.zeros(0)))


def test_a_truncated_and_a_damaged_video(tmp_path):
    make_video(tmp_path / "whole.mp4", frames=30)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"half\.mp4: .* of 30 frames"):
        list(read_video(tmp_path / "half.mp4"))
    at = data.index(b"mdat") + 4000
    (tmp_path / "hurt.mp4").write_bytes(data[:at] + bytes(1500) + data[at + 1500 :])
    with pytest.raises(UserError, match=r"hurt\.mp4: .*damaged"):
        list(read_video(tmp_path / "hurt.mp4"))


def test_a_single_frame(tmp_path):
    with VideoWriter(tmp_path / "one.mp4", (32, 32)) as video:
        video.write(np.full((32, 32, 3), 128, np.uint8))
    assert len(list(read_video(tmp_path / "one.mp4"))) == 1
