"""Recognisers: what pocketsphinx may say, silence, and files that are no Whisper."""

import builtins
import zipfile

import numpy as np
import pytest

from evaluation.speech.recognisers import (
    FILES,
    GRAMMAR,
    GridRecogniser,
    WhisperRecogniser,
    read_whisper,
    spelt,
)
from tests.evaluation.speech.test_metrics import speech
from utils.errors import UserError
from utils.grammar import GRID


@pytest.fixture(scope="module")
def recogniser() -> GridRecogniser:
    return GridRecogniser()


@pytest.mark.parametrize(
    ("sentence", "accepted"),
    [
        ("bin blue at l eight please", True),
        ("set white with z zero again", True),
        ("bin blue at w eight please", False),
        ("bin blue at l eight again now", False),
        ("blue bin at l eight please", False),
    ],
)
def test_the_grammar_accepts_only_grid(recogniser, sentence, accepted):
    """Follows the decoder's own automaton word by word"""
    grammar = recogniser.decoder.get_fsg("grid")
    assert grammar.accept(sentence) == accepted


def test_every_word_is_in_the_dictionary(recogniser):
    assert all(recogniser.decoder.lookup_word(word) for choice in GRID for word in choice)
    assert GRAMMAR.count("|") == sum(len(choice) - 1 for choice in GRID)


def test_it_hears_words_of_grid_or_nothing(recogniser):
    for sound in (np.zeros(0), np.zeros(100), np.zeros(32000), np.full(16000, 2.0), speech(3)):
        words = recogniser.hear(sound.astype(np.float32)).split()
        assert len(words) <= len(GRID)
        assert all(word in choice for word, choice in zip(words, GRID, strict=False))
    assert recogniser.hear(np.zeros(32000, np.float32)) == ""


def test_what_was_heard_before_changes_nothing(recogniser):
    sounds = [speech(3, seed) for seed in range(3)]
    first = [recogniser.hear(sound) for sound in sounds]
    assert any(first)
    assert [recogniser.hear(10 * sound) for sound in sounds]
    assert [recogniser.hear(sound) for sound in reversed(sounds)] == first[::-1]


@pytest.mark.parametrize(
    ("package", "make"),
    [("pocketsphinx", GridRecogniser), ("ctranslate2", lambda: WhisperRecogniser("w.whl"))],
)
def test_a_missing_package_is_named(package, make, monkeypatch):
    before = builtins.__import__

    def without(name, *rest):
        if name == package:
            raise ImportError(name)
        return before(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=f"{package}.*pip install"):
        make()


def test_tokens_become_text():
    assert spelt(["<|notimestamps|>", "ĠBin", "Ġblue", ",", "Ġ2", "<|endoftext|>"]) == "Bin blue, 2"
    assert spelt(["ĠcafÃ", "©"]) == "café"  # a letter of two bytes in two tokens


def test_a_whisper_is_found_in_a_folder_and_in_a_wheel(tmp_path):
    folder, wheel = tmp_path / "model", tmp_path / "some.whl"
    folder.mkdir()
    with zipfile.ZipFile(wheel, "w") as file:
        for name in FILES:
            (folder / name).write_bytes(name.encode())
            file.writestr(f"package/model/{name}", name)
    assert read_whisper(folder) == read_whisper(wheel) == {name: name.encode() for name in FILES}
    (folder / FILES[1]).unlink()
    (tmp_path / "text.whl").write_text("no wheel")
    for path in (folder, tmp_path / "text.whl", tmp_path / "nowhere"):
        with pytest.raises(UserError, match=f"{path.name}: no Whisper"):
            read_whisper(path)
