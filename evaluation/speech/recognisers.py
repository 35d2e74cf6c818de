"""Recognisers that nobody here trained: pocketsphinx under GRID's grammar, and Whisper, which may write anything."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from models.whisper import HOP, RATE, log_mel, mel_filters
from utils.errors import UserError, reason
from utils.grammar import GRID

GRAMMAR = "#JSGF V1.0; grammar grid; public <sentence> = {};".format(
    " ".join(f"({' | '.join(choice)})" for choice in GRID)
)
WHISPER_HEARS = 30 * RATE  # samples, never more nor fewer
PROMPT = ["<|startoftranscript|>", "<|notimestamps|>"]
FILES = ("config.json", "model.bin", "vocabulary.txt")


class Recogniser(Protocol):
    """Anything that hears words"""

    def hear(self, sound: np.ndarray) -> str:
        """sound (N,) float32 at 16 kHz -> what was said, in the recogniser's spelling, or nothing"""


class GridRecogniser:
    """pocketsphinx with the English model of its wheel. Raises UserError where it is not installed."""

    def __init__(self) -> None:
        try:
            from pocketsphinx import Config, Decoder, get_model_path
        except ImportError as error:
            raise UserError(
                "pocketsphinx: not installed; run python -m pip install -r requirements.txt"
            ) from error
        models = {"hmm": get_model_path("en-us/en-us"), "dict": get_model_path("en-us/cmudict-en-us.dict")}
        # Means are taken over each sound by itself, or what was heard before would change what is heard now.
        self.decoder = Decoder(Config(**models, lm=None, cmn="batch", loglevel="FATAL"))
        self.decoder.add_jsgf_string("grid", GRAMMAR)
        self.decoder.activate_search("grid")

    def hear(self, sound: np.ndarray) -> str:
        """sound (N,) float32 at 16 kHz -> a sentence of GRID, the beginning of one, or nothing"""
        samples = (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()
        if not samples:
            return ""
        self.decoder.start_utt()
        self.decoder.process_raw(samples, full_utt=True)
        self.decoder.end_utt()
        found = self.decoder.hyp()
        return found.hypstr if found else ""


class WhisperRecogniser:
    """Whisper in CTranslate2's format, on the CPU: a folder of FILES, or a wheel (or other zip) that holds them

    English-only models. Raises UserError where ctranslate2 is not installed, or where there is no such model.
    """

    def __init__(self, path: Path) -> None:
        try:
            import ctranslate2
        except ImportError as error:
            raise UserError("--whisper: needs ctranslate2; run python -m pip install ctranslate2") from error
        self.storage = ctranslate2.StorageView.from_array
        try:
            files = read_whisper(Path(path))
            self.model = ctranslate2.models.Whisper(
                str(path), files=files, compute_type="float32", intra_threads=torch.get_num_threads()
            )
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{path}: not a Whisper of CTranslate2's ({reason(error)})") from error
        if self.model.is_multilingual:
            raise UserError(f"{path}: a Whisper of many languages; give an English-only one, such as tiny.en")
        self.filters = torch.from_numpy(mel_filters(self.model.n_mels))

    def hear(self, sound: np.ndarray) -> str:
        """sound (N,) float32 at 16 kHz, 30 s of it at most -> what was said, with capitals and punctuation"""
        samples = torch.zeros(1, WHISPER_HEARS)
        heard = torch.from_numpy(np.asarray(sound[:WHISPER_HEARS], np.float32))
        samples[0, : len(heard)] = heard
        mel = log_mel(samples, self.filters)[..., : WHISPER_HEARS // HOP]
        found = self.model.generate(self.storage(mel.contiguous().numpy()), [PROMPT], beam_size=5)
        return spelt(found[0].sequences[0])


def read_whisper(path: Path) -> dict[str, bytes]:
    """The FILES of a model by name. Raises UserError where there are none."""
    try:
        if path.is_dir():
            return {name: (path / name).read_bytes() for name in FILES}
        with zipfile.ZipFile(path) as wheel:
            places = {Path(name).name: name for name in wheel.namelist()}
            return {name: wheel.read(places[name]) for name in FILES}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: no Whisper of CTranslate2's; give the folder of {', '.join(FILES)}, or a wheel that holds it"
        ) from error


def spelt(tokens: list[str]) -> str:
    """Tokens of GPT-2's alphabet, in which each letter stands for a byte -> their text, without what marks time"""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
    kept = "".join(token for token in tokens if not token.startswith("<|"))
    return bytes(alphabet[letter] for letter in kept if letter in alphabet).decode(errors="replace").strip()
