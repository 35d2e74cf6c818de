"""Lip-to-speech's networks as the flags of its training describe them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial

import torch
from torch import nn

from models import load_model
from models.lips.generator import ADDITIONS, STAGES, LipToSpeech
from models.lips.judges import SpeechJudge, SyncNet
from training.export import start_together, take_weights
from utils.cli import add_flag, add_number, add_switch
from utils.distributed import is_main
from utils.errors import UserError, note

SPEAKING = ADDITIONS | {
    "decoder",
    "postnet",
    "noise",
    "dropout",
}  # options that a stage on a given sight may change
VOICE = 64  # numbers that describe a voice, with -speaker


def add_network_flags(flags: ArgumentParser) -> None:
    """What the networks look like"""
    number = partial(add_number, flags)
    number("size", 112, "side of the mouth crops in pixels, the paper's", least=32)
    number("view", 1.0, "share of the original's box that they show; 0.7: mouth and chin", least=0.2)
    number("front", 64, "channels of the front-end's first layer, the paper's", least=4)
    number("context", 512, "width of the sentence encoder, the paper's", least=8)
    decoder = "channels of the decoder's first layer, the paper's; 16, 20, ..., or 0: the sketch says it all"
    number("decoder", 512, decoder, least=0)
    number("postnet", 128, "channels of the postnet's first layer, the paper's", least=8)
    number("noise", 128, "channels of noise, the paper's", least=1)
    number("rows", 0, "channels that tell the mel's rows apart from the start; for narrow decoders", least=0)
    drawn = (
        "a linear layer draws the mel from features and context, and the decoder adds to it (the paper: no)"
    )
    add_switch(flags, "sketch", False, drawn)
    number("sketch_width", 0, "channels of convolutions over time that draw with it; 0: none", least=0)
    number(
        "dropout",
        0.3,
        "behind the front-end, in the encoder and in the sketch, the paper's",
        least=0,
        below=1,
    )
    number("cutout", 0.5, "share of clips of whose mouths a square is hidden; the original's: 1", least=0)
    tempo = "share by which clips may be faster or slower, drawn anew each time (the paper: no)"
    number("tempo", 0.0, tempo, least=0, below=0.5)
    number("judges", 32, "channels of the discriminators' first layers, the paper's", least=4)
    number("sync_width", 128, "channels of the sync net's first layer, the paper's", least=4)
    learned = "let training find the sync net's temperature, from --temp on"
    add_switch(flags, "learned_temperature", False, learned)
    speaker = (
        "a recording of the speaker says whose voice is wanted, so that it can be chosen (the paper: no)"
    )
    stages = (
        "sight: front-end, encoder, letters, sketch and postnet, without the decoder; "
        "speech: decoder, sketch and postnet on the sight of --checkpoint; all (default)"
    )
    add_flag(flags, "stage", choices=STAGES, default="all", help=stages)
    stem = (
        "the front-end's 3-D convolution stays as in --checkpoint, which saves a fifth of a step of the sight"
    )
    add_switch(flags, "keep_stem", False, stem)
    add_switch(flags, "speaker", False, speaker)


def add_loss_flags(flags: ArgumentParser) -> None:
    """What counts for how much in training"""
    number = partial(add_number, flags, least=0)
    number("reconstruction_weight", 50.0, "errors of mels and spectrum; the paper's: 50")
    number("envelope_weight", 0.0, "unlikeness of envelopes, as STOI has it (the paper: no)")
    number("adversarial_weight", 1.0, "GAN loss of the three discriminators; the paper's: 1")
    number("adversarial_start", 0, "step from which they train; the paper's: 0")
    number("sync_weight", 1.0, "both losses of the sync net; the paper's: 1")
    number("temperature", 1.0, "of the sync net's contrast between frames; the paper's: 1", least=0.01)
    number("text_weight", 0.0, "letters of the transcript, read by the encoder (the paper: no)")


def build(args: Namespace, device: torch.device) -> tuple[LipToSpeech, dict[str, nn.Module]]:
    """The generator, and what judges it, where that has a weight. Raises UserError for flags that clash."""
    if args.stage == "sight" and not args.sketch:
        raise UserError("-stage sight: has no decoder; give -sketch, which stands for it")
    for given, name in ((args.stage == "speech", "-stage speech"), (args.keep_stem, "-keep_stem")):
        if given and args.load_model is None:
            raise UserError(f"{name}: needs the weights that are kept; give --checkpoint FILE")
    if args.sketch_width and not args.sketch:
        raise UserError(f"-sketch_width {args.sketch_width}: is of the sketch; give -sketch too")
    if args.sketch_width % 2:
        raise UserError(
            f"-sketch_width {args.sketch_width}: its channels are halved; give an even number, or 0"
        )
    if args.decoder % 4 or 0 < args.decoder < 16:
        raise UserError(f"-decoder {args.decoder}: its channels are halved twice; give 16, 20, 24, ..., or 0")
    if not args.decoder and (not args.sketch or args.rows or args.speaker):
        raise UserError("-decoder 0: needs -sketch, and has neither -rows nor -speaker")
    torch.manual_seed(args.seed)
    names = "size view front context decoder postnet noise dropout rows sketch sketch_width".split()
    options = dict(text=args.text_weight > 0, voice=VOICE if args.speaker else 0)
    model = LipToSpeech(**{name: getattr(args, name) for name in names}, **options)
    judges: dict[str, nn.Module] = {}
    if args.adversarial_weight:
        judges["judge"] = SpeechJudge(args.context, args.judges)
    if args.sync_weight:
        features = model.frontend.features
        judges["sync"] = SyncNet(features, args.sync_width, args.temperature, args.learned_temperature)
    model.train_stage(args.stage, args.keep_stem)
    for network in (model, *judges.values()):
        network.to(device)
    model.frontend.stages.to(memory_format=torch.channels_last)
    return model, judges


def warm_start(networks: dict[str, nn.Module], args: Namespace) -> None:
    """Weights of --checkpoint, and of the judges' beside it

    Rows and sketch may be new to a network that had none. -stage sight and speech may change all that speaks; what the
    file has of it in other widths, or without a counterpart, is left out, and said to be.
    """
    model, path = networks["model"], args.load_model
    if path is None:
        return
    base, lost = load_model(path, expect=LipToSpeech), []
    changed = model.differs_from(base)
    if changed and changed <= (base.lacks() if args.stage == "all" else SPEAKING):
        lost = model.grow_from(base)
    else:
        take_weights(model, base, path)
    start_together({name: network for name, network in networks.items() if name != "model"}, path)
    if lost and is_main() and not (args.model_dir / f"{args.model_name}_state.pt").exists():
        note(f"{path}: its {', '.join(lost)} do not fit the flags and are left out")
