"""Each limit has its own sentence."""

import numpy as np
import pytest
from PIL import Image

from page.limits import Limits
from tests.talking import write_wave
from utils.errors import UserError
from utils.media.write import VideoWriter

LIMITS = Limits(longest=1.0, megapixels=0.01, megabytes=0.1)


def write_video(path, frames, side=32):
    with VideoWriter(path, (side, side)) as video:
        for _ in range(frames):
            video.write(np.zeros((side, side, 3), np.uint8))
    return path


def refused(check, path) -> str:
    with pytest.raises(UserError) as error:
        check(path)
    return str(error.value)


def test_what_is_within_them_passes(tmp_path):
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    write_wave(tmp_path / "a.wav", 16000)
    LIMITS.check_photo(tmp_path / "a.png")
    LIMITS.check_speech(tmp_path / "a.wav")
    LIMITS.check_video(write_video(tmp_path / "a.mp4", 25))


def test_pixels(tmp_path):
    Image.new("1", (200, 100)).save(tmp_path / "a.png")
    message = refused(LIMITS.check_photo, tmp_path / "a.png")
    assert message == f"{tmp_path}/a.png: 200 x 100 pixels are more than 0.01 megapixels; scale it down"
    assert "128 x 128 pixels are more" in refused(LIMITS.check_video, write_video(tmp_path / "a.mp4", 1, 128))


def test_a_picture_of_more_pixels_than_its_reader_takes_is_left_to_that(tmp_path, monkeypatch):
    Image.new("1", (200, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    LIMITS.check_photo(tmp_path / "a.png")


def test_length(tmp_path):
    write_wave(tmp_path / "a.wav", 16001)
    assert refused(LIMITS.check_speech, tmp_path / "a.wav").endswith("longer than 1 seconds; cut the sound")
    assert "longer than 1 seconds" in refused(LIMITS.check_video, write_video(tmp_path / "a.mp4", 30))


def test_a_video_that_says_nothing_of_its_length_is_counted(tmp_path):
    assert len(list(LIMITS.count(tmp_path, range(25)))) == 25
    with pytest.raises(UserError, match="longer than 1 seconds; cut the video"):
        list(LIMITS.count(tmp_path, range(30)))


def test_size_and_absence(tmp_path):
    (tmp_path / "a.wav").write_bytes(bytes(200_000))
    assert refused(LIMITS.check_speech, tmp_path / "a.wav").endswith(
        "larger than 0.1 MB; make the file smaller"
    )
    assert "deleted after a while" in refused(LIMITS.check_photo, tmp_path / "b.png")


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_no_video(tmp_path, name):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes())
    assert refused(LIMITS.check_video, tmp_path / name).endswith("a picture; give a video")


def test_sound_is_no_video(tmp_path):
    write_wave(tmp_path / "a.wav", 1600)
    assert "has no video" in refused(LIMITS.check_video, tmp_path / "a.wav")
