"""lip2speech_test.py: its table and files, the same in every run, and mistakes."""

import csv
import json
import wave
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

import lip2speech_test
from data.lips.speech import mouth_clip
from data.store import ClipStore
from evaluation.speech.rows import AVERAGE, OURS, RECORDING, TRUE_MEL, voiced
from evaluation.speech.said import Said, Voices, say, sound_of
from models import ATNetSingle, save_model
from models.lips.generator import LipToSpeech
from tests.synthetic import make_store, write_wav
from utils.audio.mel import from_mel
from utils.audio.vocoder import sharpened, softened
from utils.errors import run

SMALL = dict(size=32, front=4, context=16, decoder=16, postnet=8, noise=4)


def make_network(voice: int = 0) -> LipToSpeech:
    torch.manual_seed(0)
    return LipToSpeech(**SMALL, text=True, voice=voice).eval()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Networks and a store, three of whose clips are test"""
    home = tmp_path_factory.mktemp("lip2speech_test")
    make_store(home / "store.h5", clips=5, frames=24, size=64)
    for split, ids in dict(train="s2/clip3", val="s1/clip4", test="s1/clip0\ns2/clip1\ns1/clip2").items():
        (home / "splits" / f"{split}.txt").write_text(ids)
    save_model(home / "lips.safetensors", make_network())
    save_model(home / "voices.safetensors", make_network(voice=8))
    save_model(home / "atnet.safetensors", ATNetSingle(channels=(2, 2, 4, 4, 4), audio_features=(8, 8)))
    write_wav(home / "voice.wav", 1)
    write_wav(home / "silence.wav", 1, loudness=0)
    (home / "file").write_text("")
    return home


def call(home: Path, *arguments, weights: str = "lips.safetensors") -> int:
    places = ["--grid", home / "store.h5", "--splits", home / "splits", "--checkpoint", home / weights]
    flags = [*(str(one) for one in (*places, *arguments)), "-cuda", "false"]
    return run(lip2speech_test.main, lambda: lip2speech_test.parse_args(flags))


def contents(folder: Path) -> dict[str, bytes]:
    """All files but metrics.json, which tells how long it took"""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "metrics.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_table_and_files(home, tmp_path, capsys):
    for name in ("one", "two"):
        assert call(home, "-o", tmp_path / name, "--save_wav", "--save_mel") == 0
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    clips = ["s1/clip0", "s1/clip2", "s2/clip1"]
    kept = [f"wav/{id}.wav" for id in clips] + [f"spec_mel/{id}.npz" for id in clips]
    assert set(one) == {"clips.csv", "speech.md", *kept}
    rows = list(csv.DictReader((tmp_path / "one/clips.csv").open()))
    assert [row["clip"] for row in rows[::4]] == clips
    assert [row["row"] for row in rows[:4]] == [OURS, TRUE_MEL, RECORDING, AVERAGE]
    assert all(row["wer_words"] == "6" for row in rows)
    assert all((row["wer_letters_words"] == "6") == (row["row"] == OURS) for row in rows)
    assert all(float(row["mel_distance"]) == 0 for row in rows if row["row"] == RECORDING)
    facts = json.loads((tmp_path / "one/metrics.json").read_text())
    assert facts["frames"] == 72 and facts["frames_per_second"] > 0 and facts["versions"]["pystoi"]
    assert set(facts["rows"]) == set(facts["intervals"]) == {OURS, TRUE_MEL, RECORDING, AVERAGE}
    assert set(facts["definitions"]) == set(facts["rows"][OURS])
    low, high = facts["intervals"][OURS]["mel_distance"]
    assert low <= facts["rows"][OURS]["mel_distance"] <= high
    assert "times real time" in capsys.readouterr().out


def test_sound_and_spectra_are_those_of_the_clip(home, tmp_path):
    assert call(home, "--subject", "s2", "-o", tmp_path, "--save_wav", "--save_mel", "--vocoder", "mel") == 0
    with wave.open(str(tmp_path / "wav/s2/clip1.wav")) as file:
        assert file.getparams()[:4] == (1, 2, 16000, 24 * 640)
        assert np.frombuffer(file.readframes(file.getnframes()), "<i2").any()
    saved = np.load(tmp_path / "spec_mel/s2/clip1.npz")
    assert saved["mel"].shape == (80, 96) and saved["spec"].shape == (321, 96)
    postnet = make_network().postnet(torch.from_numpy(saved["mel"])[None])[0]
    torch.testing.assert_close(torch.from_numpy(saved["spec"]), postnet, atol=1e-5, rtol=1e-4)
    [id] = {row["clip"] for row in csv.DictReader((tmp_path / "clips.csv").open())}
    assert id == "s2/clip1"


def spoken(home: Path, id: str, network: LipToSpeech, wav: Path | None = None, **options) -> Said:
    store = ClipStore(home / "store.h5")
    voice = Voices(store, wav).of(id) if network.voice else None
    return say(
        network,
        mouth_clip(store[id], 32, 1.0),
        voice,
        Namespace(**dict(seed=0, test_aug=True) | options),
    )


def test_the_seed_draws_the_noise(home):
    network = make_network()
    first, again = (spoken(home, "s1/clip0", network) for _ in range(2))
    assert torch.equal(first.mel, again.mel) and first.letters == again.letters
    assert not torch.equal(spoken(home, "s1/clip0", network, seed=1).mel, first.mel)


def test_magnitudes_are_sharpened_before_they_sound(home):
    said = spoken(home, "s1/clip0", make_network())
    for vocoder, magnitudes in (("griffin_lim", said.spectrum), ("mel", from_mel(said.mel))):
        sound = sound_of(said, Namespace(vocoder=vocoder, soften=0, sharpen=1.4, steady=0, seed=3))
        np.testing.assert_array_equal(sound, voiced(sharpened(magnitudes, 1.4), 3))
        other = sound_of(said, Namespace(vocoder=vocoder, soften=0, sharpen=1.0, steady=0, seed=3))
        assert not np.array_equal(sound, other)


def test_sound_is_steadied_after_that(home):
    said = spoken(home, "s1/clip0", make_network())
    options = dict(vocoder="griffin_lim", soften=1.0, sharpen=1.2, seed=3)
    sound = sound_of(said, Namespace(steady=2, **options))
    np.testing.assert_array_equal(sound, voiced(sharpened(softened(said.spectrum, 1.0), 1.2), 3, 2))
    assert not np.array_equal(sound, sound_of(said, Namespace(steady=0, **options)))


def test_magnitudes_are_softened_on_either_way(home):
    said = spoken(home, "s1/clip0", make_network())
    for vocoder, magnitudes in (("griffin_lim", said.spectrum), ("mel", from_mel(said.mel))):
        sound = sound_of(said, Namespace(vocoder=vocoder, soften=1.5, sharpen=1.2, steady=0, seed=3))
        np.testing.assert_array_equal(sound, voiced(sharpened(softened(magnitudes, 1.5), 1.2), 3))


def test_a_mirrored_clip_sounds_the_same_with_test_aug(home):
    network, store = make_network(), ClipStore(home / "store.h5")
    clip = mouth_clip(store["s1/clip0"], 32, 1.0)
    mirrored = clip._replace(mouths=clip.mouths.flip(-1) + torch.zeros_like(clip.mouths))
    found = {}
    for aug in (True, False):
        args = Namespace(seed=0, test_aug=aug)
        found[aug] = [say(network, one, None, args).mel for one in (clip, mirrored)]
    torch.testing.assert_close(*found[True], atol=1e-5, rtol=1e-4)
    assert (found[False][0] - found[False][1]).abs().max() > 1e-4
    torch.testing.assert_close(found[True][0], sum(found[False]) / 2, atol=1e-5, rtol=1e-4)


def test_a_voice_is_another_clip_of_the_speaker_or_a_file(home, tmp_path):
    store = ClipStore(home / "store.h5")
    voices, given = Voices(store, None), Voices(store, home / "voice.wav")
    own = {id: voices.of(id) for id in store.ids}
    assert torch.equal(own["s1/clip4"], mouth_clip(store["s1/clip0"], 32, 1.0).mel)
    assert torch.equal(own["s2/clip1"], mouth_clip(store["s2/clip3"], 32, 1.0).mel)
    assert torch.equal(given.of("s1/clip0"), given.of("s2/clip1"))
    network = make_network(voice=8)
    wavs = (None, home / "voice.wav", home / "voice.wav")
    default, other, again = (spoken(home, "s1/clip0", network, wav).mel for wav in wavs)
    assert torch.equal(other, again) and not torch.equal(default, other)
    assert (
        call(
            home,
            "-clips",
            "1",
            "--speaker_wav",
            home / "voice.wav",
            "-o",
            tmp_path,
            weights="voices.safetensors",
        )
        == 0
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--grid", "nowhere.h5"], "nowhere.h5: no such clip store"),
        (["--checkpoint", "nowhere.safetensors"], "nowhere.safetensors: no such file"),
        (["--checkpoint", "atnet.safetensors"], "holds the network ATNetSingle, but LipToSpeech is needed"),
        (["--subject", "s9"], "no clip for --subject s9, split test"),
        (["--subject", "everybody"], "--subject everybody: give"),
        (["--speaker_wav", "voice.wav"], "has no choice of voices"),
        (["--checkpoint", "voices.safetensors", "--speaker_wav", "silence.wav"], "silence.wav: silent"),
        (["--whisper", "voice.wav"], "voice.wav: no Whisper"),
        (["--vocoder", "hifigan"], "invalid choice: 'hifigan'"),
        (["-clips", "0"], "at least 1"),
        (["-o", "file", "--save_wav"], "file: cannot be written"),
        (["--out", "there.mp4"], "--out there.mp4: is for --video"),
        (["--video", "clip.mp4"], "--grid: is for the clips of a split"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(options, message, home, tmp_path, capsys, monkeypatch):
    if "--whisper" in options:
        pytest.importorskip("ctranslate2")
    monkeypatch.chdir(home)
    before = sorted(home.rglob("*"))
    places = ["--grid", "store.h5", "--splits", "splits", "--checkpoint", "lips.safetensors", "-o", "out"]
    flags = [*places, *options, "-cuda", "false"]
    assert run(lip2speech_test.main, lambda: lip2speech_test.parse_args(flags)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]
    assert sorted(home.rglob("*")) == before


def test_a_folder_that_is_a_file_is_found_before_work_begins(home, tmp_path, capsys):
    (tmp_path / "wav").write_text("")
    assert call(home, "-o", tmp_path, "--save_wav") == 2
    assert "wav: cannot be written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["wav"]


def test_flags_and_their_names_of_the_originals():
    args = lip2speech_test.parse_args(["--grid", "a", "--checkpoint=b", "--gpu", "0,1", "--save_wav", "True"])
    assert [args.dataset_dir, args.model_name, args.device_ids, args.save_wav] == [
        Path("a"),
        Path("b"),
        "0,1",
        True,
    ]
    args = lip2speech_test.parse_args(["--video", "a.mp4", "--out", "b.mp4", "-seed", "3"])
    assert (args.video, args.out, args.seed) == (Path("a.mp4"), Path("b.mp4"), 3)
    assert args.model_name.name == "lip2speech.safetensors"
