"""Sixty damaged copies of weights: each is loaded, or refused in one line; the process survives."""

from models import ATNetSingle, save_model
from tests.hostile.mutations import survived


def test_damaged_weights(tmp_path):
    save_model(tmp_path / "a.safetensors", ATNetSingle(channels=(2, 2, 2, 2, 2), audio_features=(4, 4)))
    counts = survived("weights", tmp_path / "a.safetensors", tmp_path / "copies")
    assert counts["refused"] > 10
