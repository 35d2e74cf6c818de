"""Pictures with another sound: bit for bit the same, in step, and nothing half-written."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.raw_corpus import make_pictures_video, tone, write_wav
from utils.errors import UserError
from utils.media.copy import new_sound
from utils.media.kinds import check_pictures
from utils.media.read import read_audio, read_video, video_start
from utils.media.write import VideoWriter, wav_writer

RATE = 16000


def moving(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Pictures that are not alike, so that the encoder makes frames of all kinds, also such as look ahead"""
    random = np.random.default_rng(0)
    noise = random.integers(0, 255, (height, width + 4 * count, 3), dtype=np.uint8)
    return [np.ascontiguousarray(noise[:, 4 * i : 4 * i + width]) for i in range(count)]


def encode(path: Path, codec: str, count: int = 30, fps: int = 25, begin: float = 0.0, **shape) -> Path:
    """A video without sound whose first frame is shown at `begin` seconds"""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for name, value in shape.items():
            setattr(stream, name, value)
        for index, picture in enumerate(moving(count)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = index + round(begin * fps), Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """(when it is shown, data) of all packets of the pictures, in seconds"""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]


def noise(seconds: float) -> np.ndarray:
    """Bursts of noise, so that a shift by a few samples would show"""
    random = np.random.default_rng(1)
    samples = random.normal(size=round(RATE * seconds)).astype(np.float32)
    gate = np.repeat(random.random(len(samples) // 400 + 1) > 0.5, 400)[: len(samples)]
    smooth = np.convolve(samples * gate, np.hanning(9) / np.hanning(9).sum(), "same")
    return (0.3 * smooth).clip(-1, 1).astype(np.float32)


def voiced(source: Path, path: Path, sound: np.ndarray, block: int = 7001) -> Path:
    with new_sound(source, path, RATE) as hear:
        for start in range(0, len(sound), block):
            hear(sound[start : start + block])
    return path


def lag(sound: np.ndarray, heard: np.ndarray) -> int:
    """By how many samples `heard` comes late"""
    size = len(sound) + len(heard)
    like = np.fft.irfft(np.fft.rfft(heard, size).conj() * np.fft.rfft(sound, size), size)
    best = int(np.argmax(like))
    return -(best - size if best > size // 2 else best)


@pytest.mark.parametrize(
    ("codec", "kind", "result"),
    [
        ("libx264", ".mp4", ".mp4"),
        ("libx264", ".mkv", ".mp4"),
        ("libx264", ".mp4", ".mkv"),
        ("libx264", ".mov", ".mov"),
        ("mpeg4", ".mp4", ".mp4"),
        ("libvpx-vp9", ".webm", ".webm"),
        ("libvpx", ".webm", ".mkv"),
        ("mpeg1video", ".mpg", ".mkv"),
        ("mpeg1video", ".mpg", ".mpg"),
    ],
)
def test_pictures_are_copied_bit_for_bit_and_the_sound_is_in_step(tmp_path, capsys, codec, kind, result):
    source, sound = encode(tmp_path / f"a{kind}", codec), noise(1.2)
    path = voiced(source, tmp_path / f"b{result}", sound)
    assert capsys.readouterr().err == ""
    old, new = packets(source), packets(path)
    assert len(old) == 30 and [data for _, data in old] == [data for _, data in new]
    grid = 0.0011 if ".mkv" in (kind, result) or result == ".webm" else 1e-4  # Matroska counts milliseconds
    shift = old[0][0] - new[0][0]
    assert shift == 0 if ".mpg" not in (kind, result) else True
    for a, b in zip(old, new, strict=True):
        assert abs(a[0] - b[0] - shift) <= grid
    heard = read_audio(path, RATE, video_start(path))
    assert abs(len(heard) - len(sound)) <= 2400 and abs(lag(sound, heard)) <= 1
    both = min(len(heard), len(sound))
    assert np.corrcoef(heard[:both], sound[:both])[0, 1] > 0.9


def test_the_old_sound_is_gone(tmp_path):
    source = make_pictures_video(tmp_path / "a.mp4", moving(25))
    path = voiced(source, tmp_path / "b.mp4", np.zeros(RATE, np.float32))
    assert np.abs(read_audio(source)).max() > 0.4 and np.abs(read_audio(path)).max() < 1e-3
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        audio = container.streams.audio[0].codec_context
        assert (audio.name, audio.sample_rate, audio.channels) == ("aac", RATE, 1)


@pytest.mark.parametrize("kind", [".mpg", ".avi", ".mp4"])
def test_what_players_do_not_show_is_encoded_anew_and_said(tmp_path, capsys, kind):
    source = encode(tmp_path / f"a{kind}", "mpeg2video" if kind != ".mpg" else "mpeg1video")
    sound = noise(1.2)
    path = voiced(source, tmp_path / "b.mp4", sound)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "encoded anew" in said and "mpeg" in said
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    old, new = list(read_video(source)), list(read_video(path))
    assert len(old) == len(new) == 30
    assert np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(old, new, strict=True)]) < 8
    assert abs(lag(sound, read_audio(path, RATE, video_start(path)))) <= 1


def test_packets_without_times_are_encoded_anew(tmp_path, capsys):
    source = encode(tmp_path / "a.h264", "libx264")
    path = voiced(source, tmp_path / "b.mp4", noise(1.2))
    assert "encoded anew" in capsys.readouterr().err and len(list(read_video(path))) == 30


def test_a_turned_video_stays_turned_and_wide_pixels_stay_wide(tmp_path):
    source = encode(tmp_path / "a.mp4", "libx264", sample_aspect_ratio=Fraction(4, 3))
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 48 << 16, 0, 1 << 30)
    source.write_bytes(data)
    path = voiced(source, tmp_path / "b.mp4", noise(1.2))
    frame, old = (next(read_video(one)) for one in (path, source))
    assert frame.shape == (64, 48, 3)
    np.testing.assert_array_equal(frame, old)
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize(("kind", "begin"), [(".mp4", 0.4), (".mkv", 2.0), (".ts", 0.4)])
def test_the_sound_begins_with_the_first_picture(tmp_path, kind, begin):
    source, sound = encode(tmp_path / f"a{kind}", "libx264", begin=begin), noise(1.2)
    assert video_start(source) > 0.3
    path = voiced(source, tmp_path / "b.mp4", sound)
    heard = read_audio(path, RATE, video_start(path))
    assert abs(lag(sound, heard)) <= 2
    assert len(packets(path)) == 30 and video_start(path) < 1


@pytest.mark.parametrize("fps", [12, 60])
def test_other_frame_rates_keep_their_frames(tmp_path, fps):
    source = encode(tmp_path / "a.mp4", "libx264", fps=fps)
    path = voiced(source, tmp_path / "b.mp4", noise(30 / fps))
    assert packets(path) == packets(source)


def test_pictures_are_written_while_sound_comes(tmp_path):
    """Or they would wait for each other in memory"""
    source, written = encode(tmp_path / "a.mp4", "libx264", count=100), []
    with new_sound(source, tmp_path / "b.mkv", RATE) as hear:
        pictures = hear.pictures
        hear.pictures = (written.append(time) or time for time in pictures)
        for count in range(1, 9):
            hear(noise(0.5))
            assert len(written) == pytest.approx(12.5 * count, abs=4)
    assert len(packets(tmp_path / "b.mkv")) == 100


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_an_interrupted_copy_leaves_what_was_there(tmp_path, error, codec):
    source = encode(tmp_path / "a.mp4", codec)
    (tmp_path / "b.mp4").write_bytes(b"old")

    def fail() -> None:
        with (
            new_sound(source, tmp_path / "b.mp4", RATE) as hear,
            wav_writer(tmp_path / "b.wav", RATE) as save,
        ):
            hear(noise(0.5))
            save(noise(0.5))
            raise error

    with pytest.raises(error):
        fail()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]
    assert (tmp_path / "b.mp4").read_bytes() == b"old"


def test_user_errors_name_the_file(tmp_path):
    source = encode(tmp_path / "a.mp4", "libx264", count=3)
    (tmp_path / "file").write_bytes(b"")
    for name, words in {
        "b.xyz": "kind of video",
        "b.webm": "use .mp4",
        "file/b.mp4": "cannot be written",
    }.items():
        with pytest.raises(UserError, match=words) as caught, new_sound(source, tmp_path / name, RATE):
            pass
        assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "file"]


def test_what_is_no_video_is_refused(tmp_path):
    from PIL import Image

    picture = Image.fromarray(moving(1)[0])
    for name in ("a.png", "a.jpg", "a.bmp", "a.tif", "a.webp"):
        picture.save(tmp_path / name)
        with pytest.raises(UserError, match="still picture"):
            check_pictures(tmp_path / name)
    write_wav(tmp_path / "a.wav", tone(RATE))
    with pytest.raises(UserError, match="no video"):
        check_pictures(tmp_path / "a.wav")
    (tmp_path / "a.txt").write_text("no video " * 99)
    with pytest.raises(UserError, match="a text"):
        check_pictures(tmp_path / "a.txt")
    (tmp_path / "a.mp4").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(UserError, match="neither"):
        check_pictures(tmp_path / "a.mp4")
    check_pictures(encode(tmp_path / "one.mp4", "libx264", count=1))


def test_a_sound_file_with_a_cover_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=RATE, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(tone(RATE)[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux(cover.encode(av.VideoFrame.from_ndarray(moving(1)[0], format="rgb24")))
        container.mux(cover.encode(None))
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with pytest.raises(UserError, match="cover"):
        check_pictures(tmp_path / "a.mp4")


def test_wav_files_hold_what_was_given(tmp_path):
    sound = np.linspace(-1.5, 1.5, 4000, dtype=np.float32)
    with wav_writer(tmp_path / "a.wav", RATE) as save:
        save(sound[:1500])
        save(sound[1500:])
    assert np.abs(read_audio(tmp_path / "a.wav") - sound.clip(-1, 1)).max() < 1e-4


def test_videos_of_this_house_are_copied_too(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", (64, 48)) as video:
        for picture in moving(12):
            video.write(picture)
    assert packets(voiced(tmp_path / "a.mp4", tmp_path / "b.mp4", noise(0.48))) == packets(tmp_path / "a.mp4")
