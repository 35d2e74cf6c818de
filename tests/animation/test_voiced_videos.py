"""A voice for a silent video: what it writes, and what it says about bad input."""

import re
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from animation.voiced_videos import default_output, give_voice
from data.lips import videos
from data.lips.speech import mouth_clip
from data.lips.videos import cut_from, long_runs, track_face
from data.store import ClipStore
from data.store_writer import StoreWriter
from models import Discriminator, load_model, save_model
from models.lips.generator import LipToSpeech
from preprocess.making.clip import Crop, RawClip, read_clip
from tests.lips import small_lip_to_speech
from tests.raw_corpus import painted_faces, tone, write_film, write_wav
from utils.errors import UserError, run
from utils.face.detector import FaceDetector
from utils.face.landmarks import TEMPLATE
from utils.media.read import read_audio, read_video, video_start

CPU = torch.device("cpu")
WALL = np.full((160, 160, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(autouse=True)
def one_detector(monkeypatch, detector) -> None:
    monkeypatch.setattr(videos, "FaceDetector", lambda: detector)


@pytest.fixture(scope="module")
def model() -> LipToSpeech:
    return small_lip_to_speech()


def wav_of(out: Path) -> np.ndarray:
    return read_audio(out.with_suffix(".wav"))


def picture_data(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_a_face_gets_a_voice(model, tmp_path, capsys):
    video = write_film(tmp_path / "a.mp4", painted_faces(14))
    facts = give_voice(model, video, tmp_path / "new/b.mp4", CPU)
    assert (facts.frames, facts.seconds, facts.faceless) == (14, 0.56, 0) and isinstance(facts.text, str)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["b.mp4", "b.wav"]
    assert picture_data(tmp_path / "new/b.mp4") == picture_data(video)
    sound = wav_of(tmp_path / "new/b.mp4")
    assert sound.shape == (14 * 640,) and sound.std() > 1e-3
    heard = read_audio(tmp_path / "new/b.mp4", start=video_start(video))
    assert np.corrcoef(heard[: 14 * 640], sound)[0, 1] > 0.95  # in step, but for what AAC takes away
    said = capsys.readouterr().err
    assert "faces" in said and "mouths" in said and "speech" in said and "note" not in said


def test_the_same_again_unless_an_option_changes(model, tmp_path):
    video = write_film(tmp_path / "a.mp4", painted_faces(5), sound=False)
    sounds = []
    changed = dict(seed=1), dict(flip=False), dict(sharpness=2.0), dict(softness=2.0), dict(steady=0)
    for options in ({}, {}, *changed):
        give_voice(model, video, tmp_path / "b.mp4", CPU, wav=tmp_path / "c.wav", **options)
        sounds.append(read_audio(tmp_path / "c.wav"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "c.wav"]
    assert np.array_equal(*sounds[:2])
    assert not any(np.array_equal(sounds[0], other) for other in sounds[2:])


def test_mouths_are_those_of_a_store(tmp_path, detector):
    """As preprocess.grid would cut them, but for JPEG"""
    head = np.full((200, 240, 3), 90, np.uint8)
    pictures = []
    for number, face in enumerate(painted_faces(40)):
        pictures.append(head.copy())
        pictures[-1][20:180, 20 + number : 180 + number] = face  # the head moves
    video = write_film(tmp_path / "a.mp4", pictures)
    writer = StoreWriter(
        tmp_path / "a.h5",
        dict(fps=25, sample_rate=16000, size=128, template=TEMPLATE, parameters={}, versions={}),
    )
    writer.add("s1/a", read_clip(RawClip("s1/a", video, "a.mp4"), Crop(), detector))
    writer.pack()
    size, view = 48, 0.7
    wanted = mouth_clip(ClipStore(tmp_path / "a.h5")["s1/a"], size, view).mouths.int()
    track = track_face(video, size, view)
    got = torch.cat(list(cut_from(video, track, size))).int()
    assert got.shape == wanted.shape == (40, size, size) and wanted.float().std() > 20
    assert (got - wanted).abs().float().mean() < 1 and (got - wanted).abs().max() < 16
    assert (got - wanted.roll(1, 0)).abs().float().mean() > (got - wanted).abs().float().mean()


@pytest.mark.parametrize(("count", "fps"), [(1, 25), (2, 25), (9, 12), (31, 60)])
def test_the_sound_is_as_long_as_the_pictures(model, tmp_path, count, fps):
    video = write_film(tmp_path / "a.mp4", painted_faces(count), fps)
    facts = give_voice(model, video, tmp_path / "b.mp4", CPU)
    assert abs(facts.seconds - count / fps) <= 0.04
    assert len(wav_of(tmp_path / "b.mp4")) == 640 * facts.frames
    assert picture_data(tmp_path / "b.mp4") == picture_data(video) and len(picture_data(video)) == count


def test_long_stretches_without_a_face_are_silent(model, tmp_path, capsys):
    video = write_film(
        tmp_path / "a.mp4",
        [*painted_faces(6), *[WALL] * 27, *painted_faces(5), *[WALL] * 3, *painted_faces(3)],
    )
    facts = give_voice(model, video, tmp_path / "b.mp4", CPU)
    assert (facts.frames, facts.faceless) == (44, 30)
    notes = [line for line in capsys.readouterr().err.splitlines() if "note" in line]
    assert len(notes) == 1 and "1.1 s" in notes[0] and "from 0.2 s" in notes[0]
    levels = np.abs(wav_of(tmp_path / "b.mp4")).reshape(44, 640).max(1)
    assert levels[7:32].max() < 1e-3 and levels[:5].min() > 1e-3 and levels[34:].min() > 1e-3


def test_runs_are_counted_from_their_first_to_their_last_frame():
    mask = np.array([1, 1, 0, 1, 1, 1, 0, 1], bool)
    assert long_runs(mask, 2).tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert long_runs(mask, 0).tolist() == mask.tolist() and not long_runs(mask, 3).any()


def test_a_chosen_voice(tmp_path):
    chooser, plain = small_lip_to_speech(voice=6), small_lip_to_speech()
    video, voice = (
        write_film(tmp_path / "a.mp4", painted_faces(3)),
        write_wav(tmp_path / "v.wav", tone(16000)),
    )
    facts = give_voice(chooser, video, tmp_path / "b.mp4", CPU, voice=voice)
    assert facts.frames == 3
    write_wav(tmp_path / "silence.wav", np.zeros(16000))
    for model, given, words in (
        (chooser, None, "give a recording"),
        (chooser, tmp_path / "silence.wav", "silence.wav: silent"),
        (plain, voice, "no choice"),
    ):
        with pytest.raises(UserError, match=words):
            give_voice(model, video, tmp_path / "c.mp4", CPU, voice=given)
    with pytest.raises(UserError, match=r"v\.wav: is what the voice"):
        give_voice(chooser, video, tmp_path / "v.mp4", CPU, voice=voice)
    assert not list(tmp_path.glob("c.*")) and not list(tmp_path.glob("v.mp4"))


class Tracker:
    """Stands in for dlib: the same landmarks in every frame, half a second late"""

    def track_stream(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for _ in frames:
            yield TEMPLATE * np.float32(1.25)


def test_memory_does_not_grow_with_the_video(model, tmp_path, monkeypatch):
    """Of 150 frames few are held at a time, in both passes"""
    video, alive, most = write_film(tmp_path / "a.mp4", [WALL] * 150), 0, 0

    def counted(path: Path) -> Iterator[np.ndarray]:
        nonlocal alive, most
        for frame in read_video(path):
            weakref.finalize(frame, gone)
            alive += 1
            most = max(most, alive)
            yield frame

    def gone() -> None:
        nonlocal alive
        alive -= 1

    monkeypatch.setattr(videos, "read_video", counted)
    monkeypatch.setattr(videos, "FaceDetector", Tracker)
    assert give_voice(model, video, tmp_path / "b.mp4", CPU, flip=False).frames == 150
    assert 0 < most <= 8


@pytest.mark.parametrize("stage", ["track_face", "look", "speak", "griffin_lim"])
def test_ctrl_c_leaves_what_was_there(model, tmp_path, monkeypatch, stage):
    video = write_film(tmp_path / "a.mp4", painted_faces(2))
    for name in ("b.mp4", "b.wav"):
        (tmp_path / name).write_bytes(b"old")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    place = f"utils.audio.vocoder.{stage}" if stage == "griffin_lim" else f"animation.voiced_videos.{stage}"
    monkeypatch.setattr(place, stop)
    assert run(lambda _: give_voice(model, video, tmp_path / "b.mp4", CPU), lambda: None) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "b.wav"]
    assert {(tmp_path / name).read_bytes() for name in ("b.mp4", "b.wav")} == {b"old"}


def test_where_results_go():
    names = dict(a=".mp4", b=".MKV", c=".avi", d=".mpg", e=".webm", f=".MOV")
    places = [default_output(Path(f"in/{name}{kind}"), Path("out")).name for name, kind in names.items()]
    assert places == "a_voiced.mp4 b_voiced.mkv c_voiced.mp4 d_voiced.mp4 e_voiced.webm f_voiced.mov".split()
    assert default_output(Path("in/a.mp4"), Path("out")).parent == Path("out")


def bad_inputs(folder: Path) -> dict[str, str]:
    """Names of bad videos in the folder: what is said about them"""
    write_film(folder / "wall.mp4", [WALL] * 4)
    tiny = np.full((300, 400, 3), 90, np.uint8)
    small = Image.fromarray(painted_faces(1, 256)[0]).resize((28, 28), Image.Resampling.BOX)
    tiny[100:128, 100:128] = np.asarray(small)
    write_film(folder / "tiny.mp4", [tiny] * 3)
    whole = write_film(folder / "whole.mp4", painted_faces(50)).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: 2 * len(whole) // 3])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no video")
    write_wav(folder / "sound.wav", tone(16000))
    Image.fromarray(painted_faces(1)[0]).save(folder / "still.jpg")
    return {
        "wall.mp4": "no face found",
        "tiny.mp4": "too small|no face found",
        "cut.mp4": "breaks off|damaged",
        "empty.mp4": "empty",
        "text.mp4": "neither video nor sound",
        "sound.wav": "no video",
        "still.jpg": "still picture",
        "missing.mp4": "no such file",
    }


def said(capsys, model: LipToSpeech, video: Path, out: Path, **options) -> str:
    """The one line that is said beside the bars, of a run that fails"""
    assert run(lambda _: give_voice(model, video, out, CPU, **options), lambda: None) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(lines) == 1
    return lines[0]


def test_bad_videos_are_one_line_and_nothing_is_left(model, tmp_path, capsys):
    for name, words in bad_inputs(tmp_path).items():
        line = said(capsys, model, tmp_path / name, tmp_path / "out/b.mp4")
        assert name in line and re.search(words, line), line
    assert not list((tmp_path / "out").iterdir())


def test_a_face_that_is_too_small(model, tmp_path, capsys, monkeypatch):
    class Far(Tracker):
        def track_stream(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            for points in super().track_stream(frames):
                yield points / 6

    monkeypatch.setattr(videos, "FaceDetector", Far)
    video = write_film(tmp_path / "a.mp4", [WALL] * 3)
    assert "magnified 4.8 times" in said(capsys, model, video, tmp_path / "b.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_bad_places_are_one_line_and_the_input_stays(model, tmp_path, capsys):
    video = write_film(tmp_path / "a.mp4", painted_faces(2))
    before = video.read_bytes()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "link.mp4").symlink_to(video)
    places = {
        "a.mp4": "is what the voice would be made of",
        "link.mp4": "is what the voice would be made of",
        "folder.mp4": "is a folder",
        "b.wav": "sound alone",
        "b.xyz": "not a kind of video",
        "a.mp4/b.mp4": "cannot be written",
    }
    for name, words in places.items():
        line = said(capsys, model, video, tmp_path / name)
        assert words in line and str(tmp_path / name.split("/")[0]) in line
    assert "is what" in said(capsys, model, video, tmp_path / "b.mp4", wav=video)
    assert video.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "folder.mp4", "link.mp4"]


def test_weights_of_another_network(tmp_path, capsys):
    save_model(tmp_path / "other.safetensors", Discriminator(width=4))
    path = tmp_path / "other.safetensors"
    assert run(lambda _: load_model(path, expect=LipToSpeech), lambda: None) == 2
    assert "LipToSpeech is needed" in capsys.readouterr().err
