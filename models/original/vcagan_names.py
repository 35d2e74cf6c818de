"""VCA-GAN's checkpoints by our names: seven networks of the original in one file, three of ours."""

from __future__ import annotations

from pathlib import Path

import torch

from models.original.names import Original, Tensors, clean, infer_config, outputs, rename
from utils.errors import UserError

ENDING = "_state_dict"
GENERATOR, JUDGES, SYNC = ("v_front", "gen", "post"), ("dis1", "dis2", "dis3"), ("s_dis",)

BLOCK = {"bn1.": "norm1.", "bn2.": "norm2.", "relu1.": "act1.", "relu2.": "act2.", "downsample.": "shortcut."}
BLOCK |= {f"{layer}.": f"{layer}." for layer in ("conv1", "conv2")}
STAGES = {"decode": "bottleneck", "g1": "coarse", "g2": "middle", "g3": "fine"}
ATTENTION = dict(q="query", k="key", v="value", mel="out")
SHORTCUT = {"conv1x1.": "shortcut."}


def inside(starts: dict[str, str], parts: dict[str, str]) -> dict[str, str]:
    """Names of the parts of every layer: {start + part: our start + our part}"""
    return {a + b: starts[a] + parts[b] for a in starts for b in parts}


def front_names() -> dict[str, str]:
    blocks = {
        f"resnet.layer{stage + 1}.{block}.": f"frontend.stages.{stage}.{block}."
        for stage in range(4)
        for block in range(2)
    }
    whole = {"frontend.": "frontend.stem.", "sentence_encoder.": "encoder.", "fc.": "summary."}
    return whole | inside(blocks, BLOCK)


def decoder_names() -> dict[str, str]:
    blocks = {f"{a}.{i}.": f"decoder.{b}.{i}." for a, b in STAGES.items() for i in range(3)}
    names = inside(
        blocks, SHORTCUT | {f"{part}{i}.": f"{part}{i}." for part in ("norm", "conv") for i in (1, 2)}
    )
    for i in (1, 2):
        names |= {f"att{i}.{a}.": f"decoder.attend{i}.{b}." for a, b in ATTENTION.items()}
        names[f"attconv{i}."] = f"decoder.merge{i}."
    return names | {f"to_mel{i}.": f"decoder.to_mels.{i - 1}." for i in (1, 2, 3)}


def judge_names(number: int) -> dict[str, str]:
    """Of the discriminator of mels of size 0, 1 or 2"""
    ours = f"sizes.{number}."
    shortcuts = inside({f"main.{i}.": f"{ours}layers.{i}." for i in range(1, 5)}, SHORTCUT)
    heads = {"uncond.1.": "alone.", "uncond.4.": "alone_out."}
    heads |= {"cond.1.": "given.", "cond.3.": "given_next.", "cond.6.": "given_out."}
    return shortcuts | {"main.": f"{ours}layers."} | {name: ours + our for name, our in heads.items()}


NAMES = {
    "v_front": front_names(),
    "gen": decoder_names(),
    "post": inside({f"postnet.{i}.": f"postnet.layers.{i}." for i in (3, 4, 5)}, SHORTCUT)
    | {"postnet.": "postnet.layers."},
    **{part: judge_names(number) for number, part in enumerate(JUDGES)},
    "s_dis": {"frontend.": "layers.", "Linear.": "out."} | inside({"Res_block.0.": "layers.6."}, BLOCK),
}


def is_vcagan(saved: dict) -> bool:
    """Whether a saved dictionary looks like a checkpoint of VCA-GAN, be it a whole one or not"""
    return any(part + ENDING in saved for part in NAMES)


def read_vcagan(saved: dict, judges: bool, path: Path) -> dict[str, tuple[str, dict, Tensors]]:
    """The ending of each new file's name -> our network in it, its widths and tensors

    "": LipToSpeech; with `judges` also "_judge": SpeechJudge, "_sync": SyncNet. Raises UserError for a checkpoint that
    lacks a part of these.
    """
    wanted = {"": ("LipToSpeech", GENERATOR)}
    if judges:
        wanted |= {"_judge": ("SpeechJudge", JUDGES), "_sync": ("SyncNet", SYNC)}
    parts = [part for _, group in wanted.values() for part in group]
    missing = [part + ENDING for part in parts if part + ENDING not in saved]
    if missing:
        raise UserError(f"{path}: a checkpoint of VCA-GAN without {', '.join(missing)}; give a whole one")
    networks = {}
    for ending, (network, group) in wanted.items():
        tensors: Tensors = {} if network != "SyncNet" else {"log_temperature": torch.zeros(())}
        for part in group:
            tensors |= rename(clean(saved[part + ENDING], path), Original(network, NAMES[part]), path)[0]
        networks[ending] = network, infer_config(network, tensors, path, READERS), tensors
    return networks


def generator_config(tensors: Tensors) -> dict:
    """Mouths of 112 pixels in the original's box, the only ones that its ResNet takes"""
    layers = ("frontend.stem.0", "summary", "decoder.bottleneck.0.conv1", "postnet.layers.0")
    widths = dict(zip(("front", "context", "decoder", "postnet"), outputs(tensors, *layers), strict=True))
    noise = tensors["decoder.bottleneck.0.conv1.weight"].shape[1] - 8 * widths["front"]
    return dict(size=112, view=1.0) | widths | dict(noise=noise)


def judge_config(tensors: Tensors) -> dict:
    joined = tensors["sizes.0.given.weight"]
    return dict(context=joined.shape[1] - joined.shape[0], width=len(tensors["sizes.0.layers.0.weight"]))


def sync_config(tensors: Tensors) -> dict:
    """The temperature is in no checkpoint: the original's default"""
    return dict(features=len(tensors["out.weight"]), width=len(tensors["layers.0.weight"]), temperature=1.0)


READERS = dict(LipToSpeech=generator_config, SpeechJudge=judge_config, SyncNet=sync_config)
