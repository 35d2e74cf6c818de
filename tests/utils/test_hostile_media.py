"""Media and pictures that are not what they say: one line, no crash, no hang, and no other file opened."""

import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from utils.errors import UserError
from utils.media.images import MOST_PIXELS, read_photo
from utils.media.kinds import is_picture, is_video
from utils.media.quiet import quiet_libraries
from utils.media.read import read_audio, read_video
from utils.media.write import VideoWriter

ROOT = Path(__file__).parents[2]


def write_wave(path: Path, channels: int, rate: int = 16000, samples: int = 1600) -> np.ndarray:
    """-> (samples, channels) as they stand in the file"""
    sound = np.random.default_rng(channels).integers(-9000, 9000, (samples, channels)).astype("<i2")
    rest = struct.pack(
        "<IHHIIHH", 16, 1, channels, rate, min(2 * rate * channels, 2**32 - 1), 2 * channels, 16
    )
    body = b"WAVEfmt " + rest + b"data" + struct.pack("<I", sound.nbytes) + sound.tobytes()
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return sound


def test_any_number_of_channels_is_mixed_down(tmp_path):
    """In a process of its own, for eight of them once read beyond the end of their memory"""
    counts, expected = (1, 2, 6, 7, 8, 9, 16, 64), []
    for channels in counts:
        sound = write_wave(tmp_path / f"{channels}.wav", channels)
        expected.append((sound / 32768).mean(1, dtype=np.float32))
    script = "import sys, numpy; from utils.media.read import read_audio; "
    script += "numpy.save(sys.argv[1], [read_audio(name) for name in sys.argv[2:]])"
    names = [str(tmp_path / f"{channels}.wav") for channels in counts]
    subprocess.run([sys.executable, "-c", script, tmp_path / "read.npy", *names], cwd=ROOT, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "read.npy"), expected, atol=1e-4)


def test_absurd_rates_are_refused(tmp_path):
    write_wave(tmp_path / "a.wav", 1, rate=2**31 - 1)
    with pytest.raises(UserError, match=r"a\.wav: its sound claims 2147483647"):
        read_audio(tmp_path / "a.wav")


def test_a_cut_off_ogg_is_a_shorter_sound_or_one_line(tmp_path):
    path = tmp_path / "a.ogg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        noise = np.random.default_rng(0).normal(0, 0.1, (50, 1, 960)).astype(np.float32)
        for number, samples in enumerate(noise):
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, 960 * number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for kept in (20, 60, 130, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:kept])
        sound_or_line(path)
    for _ in range(40):
        mutated = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            mutated[place] ^= 1 << int(random.integers(8))
        path.write_bytes(mutated)
        sound_or_line(path)


def sound_or_line(path: Path) -> None:
    sound = read_or_line(read_audio, path)
    assert sound is None or np.isfinite(sound).all()


def read_or_line(read: Callable[[Path], np.ndarray], path: Path) -> np.ndarray | None:
    """What is read, or None after one line that names the file"""
    try:
        return read(path)
    except UserError as error:
        line = str(error)
    assert path.name in line
    assert "\n" not in line
    return None


@pytest.mark.parametrize(
    "name", ["10:30.wav", "file:x.wav", "http:a.wav", "-", "pipe:.wav", "%d.wav", "a?b#c.wav"]
)
def test_names_are_names_of_files(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_wave(tmp_path / "plain.wav", 1)
    (tmp_path / "plain.wav").rename(tmp_path / name)
    assert len(read_audio(Path(name))) == 1600
    with VideoWriter(Path("10:30.mp4"), (32, 32)) as video:
        video.write(np.zeros((32, 32, 3), np.uint8))
    assert len(list(read_video(Path("10:30.mp4")))) == 1


def test_playlists_open_nothing(tmp_path):
    write_wave(tmp_path / "secret.wav", 1)
    lists = {
        "endless.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nendless.m3u8\n",
        "live.wav": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{tmp_path}/secret.wav\n",
        "itself.txt": "ffconcat version 1.0\nfile itself.txt\n",
        "concat.ogg": f"ffconcat version 1.0\nfile '{tmp_path}/secret.wav'\n",
        "stream.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        for read in (read_audio, lambda path: list(read_video(path))):
            with pytest.raises(UserError, match=name):
                read(tmp_path / name)
        assert not is_video(tmp_path / name)


def test_texts_pictures_and_covers_are_no_videos(tmp_path):
    (tmp_path / "a.txt").write_text("hello\n" * 99)
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "text.jpg").write_text("not a picture")
    for name in ("a.txt", "a.png", "text.jpg", "absent.mp4"):
        assert not is_video(tmp_path / name)
    assert is_picture(tmp_path / "a.png") and not is_picture(tmp_path / "text.jpg")
    with VideoWriter(tmp_path / "a.mp4", (32, 32)) as video:
        video.write(np.zeros((32, 32, 3), np.uint8))
    assert is_video(tmp_path / "a.mp4") and not is_picture(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("size", "word"), [((13300, 13300), "too many"), ((60000, 2), "no photo"), ((1, 9000), "no photo")]
)
def test_pictures_that_would_take_the_memory_are_refused_before_they_are_decoded(
    tmp_path, monkeypatch, size, word
):
    Image.new("L", size).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    with pytest.raises(UserError, match=rf"a\.png: {size[0]} x {size[1]} pixels are {word}"):
        read_photo(tmp_path / "a.png")


def test_nothing_is_said_of_a_large_picture_beside_our_line(tmp_path, recwarn):
    Image.new("L", (13300, 7000)).save(tmp_path / "a.png")  # from 89 million pixels on Pillow warns
    assert is_picture(tmp_path / "a.png") and not is_video(tmp_path / "a.png")
    assert not recwarn.list


def test_a_large_jpeg_is_read_at_half_its_size(tmp_path):
    Image.new("L", (9000, 8000), 90).save(tmp_path / "a.jpg")
    assert MOST_PIXELS < 9000 * 8000
    assert read_photo(tmp_path / "a.jpg").shape == (4000, 4500, 3)


@pytest.mark.parametrize(
    "suffix", ["png", "jpg", "webp", "bmp", "tif", "gif", "avif", "ppm", "tga", "ico", "jp2"]
)
def test_damaged_pictures_are_pictures_or_one_line(tmp_path, capfd, suffix):
    path, random = tmp_path / f"a.{suffix}", np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 255, (48, 64, 3), np.uint8))
    try:
        picture.save(path)
    except (KeyError, ValueError, OSError):
        pytest.skip(f"this Pillow writes no {suffix}")
    whole = path.read_bytes()
    for number in range(60):
        mutated = bytearray(whole)
        if number % 3 == 0:
            mutated = mutated[: int(random.integers(1, len(whole)))]
        else:
            for place in random.integers(0, min(len(whole), 400 if number % 3 == 1 else len(whole)), 4):
                mutated[place] = int(random.integers(256))
        path.write_bytes(mutated)
        photo = read_or_line(read_photo, path)
        assert photo is None or photo.shape[2] == 3
    assert capfd.readouterr().err == ""


def test_two_threads_that_are_quiet_at_once_are_heard_again(capfd):
    def hush() -> None:
        for _ in range(200):
            with quiet_libraries():
                pass

    threads = [threading.Thread(target=hush) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    subprocess.run([sys.executable, "-c", "import os; os.write(2, b'heard')"], check=True)
    assert capfd.readouterr().err == "heard"


def test_a_telephones_photo_is_no_video(tmp_path):
    path = tmp_path / "a.avif"
    try:
        Image.new("RGB", (64, 64)).save(path)
    except (KeyError, OSError):
        pytest.skip("this Pillow writes no AVIF")
    path = tmp_path / "a.heic"
    path.write_bytes((tmp_path / "a.avif").read_bytes().replace(b"ftypavif", b"ftypheic"))
    assert not is_video(path)


def test_libraries_are_quiet_within_a_block_alone(capfd):
    with quiet_libraries():
        subprocess.run([sys.executable, "-c", "import os; os.write(2, b'noise')"], check=True)
    subprocess.run([sys.executable, "-c", "import os; os.write(2, b'heard')"], check=True)
    assert capfd.readouterr().err == "heard"
