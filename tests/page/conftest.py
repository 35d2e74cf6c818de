"""One server for all tests of the page, and what is given to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.page.server import Server, serving
from tests.talking import small_weights, write_wave


@pytest.fixture(scope="session")
def given(tmp_path_factory) -> Path:
    """A photo of a face, one of none, a text named as a picture, half a second of sound, six, fifty; weights"""
    data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("given")
    Image.fromarray(data.astronaut()[:300, 100:400]).save(folder / "face.png")
    Image.fromarray(np.full((200, 200, 3), 127, np.uint8)).save(folder / "wall.png")
    (folder / "letter.png").write_text("Dear Sir or Madam\n")
    write_wave(folder / "half.wav", 8000)
    write_wave(folder / "six.wav", 6 * 16000)
    write_wave(folder / "long.wav", 50 * 16000)
    small_weights(folder)
    return folder


@pytest.fixture(scope="session")
def server(given, tmp_path_factory) -> Iterator[Server]:
    pytest.importorskip("gradio", reason="no gradio: pip install -r requirements-app.txt")
    flags = ("-at_model", given / "at.safetensors", "-vg_model", given / "vg.safetensors", "--waiting", 2)
    env = dict(os.environ) | dict(OMP_NUM_THREADS="1")
    with serving(tmp_path_factory.mktemp("server"), *flags, "--megabytes", 5, env=env) as server:
        yield server
    assert not list(server.folder.glob("talking-page-*"))  # its end leaves nothing
