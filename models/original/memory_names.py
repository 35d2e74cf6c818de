"""Checkpoints of the visual-audio memory by our names: four networks of the original in one file, one of ours."""

from __future__ import annotations

from pathlib import Path

from models.original.names import Original, Tensors, clean, infer_config, outputs, rename
from models.original.vcagan_names import ENDING, NAMES, front_names, inside
from utils.errors import UserError, reason

OWN = "a_front", "mem", "back"  # parts that no checkpoint of VCA-GAN has
KIND = "visual-audio memory"
BRANCH = {"conv.": "conv.", "batchnorm.": "norm.", "non_lin.": "act."}


def tcn_names() -> dict[str, str]:
    blocks = {f"tcn.mb_ms_tcn.network.{i}.": f"backend.blocks.{i}." for i in range(4)}
    branches = {
        f"cbcr{which}_{branch}.": f"{ours}.{branch}."
        for which, ours in enumerate(("first", "second"))
        for branch in range(3)
    }
    others = {"downsample.": "shortcut.", "relu_final.": "act."}
    return inside(blocks, inside(branches, BRANCH) | others) | {"tcn.tcn_output.": "backend.out."}


PARTS = {
    "v_front": front_names(),
    "a_front": {name: f"hearing.{our}" for name, our in NAMES["s_dis"].items()},
    "mem": {
        "key": "memory.keys",
        "value": "memory.values",
        "q_embd.": "memory.ask.",
        "v_embd.": "memory.file.",
        "fusion.": "fusion.layer.",
    },
    "back": {"gru.": "backend.gru.", "fc.": "backend.out."} | tcn_names(),
}


def is_memory(saved: dict) -> bool:
    """Whether a saved dictionary looks like a checkpoint of the visual-audio memory, be it a whole one or not"""
    return any(part + ENDING in saved for part in OWN)


def read_memory(saved: dict, words: Path | None, path: Path) -> tuple[str, dict, Tensors]:
    """Our network, its options and tensors. words: see `read_words`. Raises UserError."""
    missing = [part + ENDING for part in PARTS if part + ENDING not in saved]
    if missing:
        raise UserError(
            f"{path}: a checkpoint of the {KIND} without {', '.join(missing)}; give a whole one of the ICCV paper"
        )
    tensors: Tensors = {}
    for part, names in PARTS.items():
        tensors |= rename(clean(saved[part + ENDING], path), Original("LipReader", names), path)[0]
    config = infer_config("LipReader", tensors, path, dict(LipReader=reader_config))
    count = config.pop("count")
    return "LipReader", dict(classes=read_words(words, count)) | config, tensors


def reader_config(tensors: Tensors) -> dict:
    """Its options, and `count`, of its classes. Radius and dropout are in no checkpoint: the original's defaults."""
    count, front, hearing = outputs(tensors, "backend.out", "frontend.stem.0", "hearing.layers.0")
    slots, width = tensors["memory.values"].shape
    backend = "GRU" if "backend.gru.weight_ih_l0" in tensors else "MSTCN"
    sizes = dict(size=112, view=1.0, front=front, hearing=hearing, width=width, slots=slots)
    return dict(count=count, backend=backend, pool3=True) | sizes


def read_words(path: Path | None, count: int) -> list[str]:
    """The names of so many classes: of a file, one a line, or of a folder, LRW's, its folders; in the original's order

    Without, their numbers. Raises UserError.
    """
    if path is None:
        return [str(number) for number in range(count)]
    try:
        if path.is_dir():
            words = sorted(one.name for one in path.iterdir() if one.is_dir())
        else:
            words = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({reason(error)}); give a word a line") from error
    if len(words) != count or len(set(words)) != count:
        told = f"{len(words)} words, {len(set(words))} of them different"
        raise UserError(f"{path}: holds {told}, and the checkpoint has {count} classes; give a word for each")
    return words
