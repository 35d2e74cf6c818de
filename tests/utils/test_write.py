"""Videos: length, colour, sound, and nothing half-written."""

from pathlib import Path

import av
import numpy as np
import pytest

from utils.errors import UserError
from utils.media.write import VideoWriter

RATE = 16000


def picture(height: int, width: int, level: int) -> np.ndarray:
    frame = np.full((height, width, 3), (200, 60, level), np.uint8)
    frame[: height // 2] = (20, 180, 90)
    return frame


def write(path: Path, size: tuple[int, int] = (64, 48), frames: int = 30, **options) -> None:
    with VideoWriter(path, size, audio=RATE, **options) as video:
        for index in range(frames):
            video.write(picture(size[1], size[0], 4 * index))
            tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(index * 640, (index + 1) * 640) / RATE)
            video.write_audio(tone)


def read(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return frames, np.concatenate(sound, axis=1)


def test_frames_and_sound_come_back(tmp_path):
    write(tmp_path / "a.mp4")
    frames, sound = read(tmp_path / "a.mp4")
    assert len(frames) == 30
    for index, frame in enumerate(frames):
        difference = np.abs(frame.astype(int) - picture(48, 64, 4 * index))
        assert np.median(difference) <= 2 and difference[:20].max() <= 6
    assert abs(sound.shape[1] - 30 * 640) <= 2048
    middle = sound[0, 4096:12288]
    spectrum = np.abs(np.fft.rfft(middle))
    assert abs(np.argmax(spectrum) * RATE / len(middle) - 440) < 5
    assert abs(np.abs(middle).max() - 0.5) < 0.05


def test_streams_are_h264_and_aac_at_25_frames_a_second_with_named_colours(tmp_path):
    write(tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.average_rate, video.pix_fmt) == (25, "yuv420p")
        assert float(video.duration * video.time_base) == pytest.approx(1.2)
        assert int(next(container.decode(video=0)).colorspace) == 6  # BT.601, said in the bitstream


def test_odd_sizes_gain_a_column_and_a_row(tmp_path):
    write(tmp_path / "a.mp4", size=(65, 49), frames=3)
    frames, _ = read(tmp_path / "a.mp4")
    assert frames[0].shape == (50, 66, 3)


def test_stereo_and_silent_videos(tmp_path):
    with VideoWriter(tmp_path / "stereo.mp4", (64, 48), audio=48000, channels=2) as video:
        for _ in range(5):
            video.write(picture(48, 64, 0))
            video.write_audio(np.stack([np.full(1920, 0.25), np.full(1920, -0.25)], axis=1))
    _, sound = read(tmp_path / "stereo.mp4")
    assert sound.shape[0] == 2 and sound[0, 3000] > 0.2 and sound[1, 3000] < -0.2
    with VideoWriter(tmp_path / "silent.mp4", (64, 48)) as video:
        video.write(picture(48, 64, 0))
    with av.open(str(tmp_path / "silent.mp4")) as container:
        assert not container.streams.audio


def write_and_raise(path: Path, error: type[BaseException]) -> None:
    with VideoWriter(path, (64, 48), audio=RATE) as video:
        video.write(picture(48, 64, 0))
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_video_leaves_the_existing_one(tmp_path, error):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(error):
        write_and_raise(path, error)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert path.read_bytes() == b"old"
    write(path, frames=2)
    assert len(read(path)[0]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_user_errors_name_the_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(UserError, match="cannot be written"),
        VideoWriter(tmp_path / "file" / "a.mp4", (64, 48)),
    ):
        pass
    with pytest.raises(UserError, match="kind of video"), VideoWriter(tmp_path / "a.xyz", (64, 48)):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_frames_of_another_size_are_refused(tmp_path):
    with pytest.raises(ValueError, match="48 x 64"), VideoWriter(tmp_path / "a.mp4", (64, 48)) as video:
        video.write(np.zeros((64, 48, 3), np.uint8))
