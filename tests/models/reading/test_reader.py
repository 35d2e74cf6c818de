"""The lip reader: the original's outputs from its weights, who learns from what, any size and length, its files."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import load_model, save_model
from models.lips.generator import LipToSpeech
from models.original.memory_names import read_memory
from models.reading.reader import LipReader, Reading
from tests.models.lips.originals import lively
from tests.models.reading.reader_original import checkpoint, ours, reference, run, seeded
from training.losses import lipread as losses

WORDS = ["bin", "lay", "place"]
SMALL = dict(size=32, front=3, hearing=4, width=24, slots=6)
OPTIONS = [{}, dict(backend="MSTCN"), dict(heads=4), dict(memory=False), dict(boundary=True, heads=2)]
FRAMES = 7


def network(**options) -> LipReader:
    torch.manual_seed(0)
    return lively(LipReader(WORDS, **(SMALL | options)))


def noisy(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def example(frames: int = FRAMES, side: int = 32, clips: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """mouths, mel, boundary"""
    boundary = torch.zeros(clips, frames)
    boundary[:, frames // 3 :] = 1
    return noisy(clips, frames, side, side), noisy(clips, 80, 4 * frames, seed=2), boundary


def assert_same(made: Tensor, true: Tensor, spread: float = 1e-2) -> None:
    """Equal to 1e-5; a constant would prove nothing."""
    assert true.std() > spread
    torch.testing.assert_close(made, true, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["GRU", "MSTCN"])
def test_the_original_from_its_weights(backend):
    """Logits, addresses and losses; and every weight's gradient of their sum"""
    originals = seeded(backend)
    model = ours(checkpoint(originals))
    mouths, mel, _ = example(side=112)
    label = torch.tensor([4, 1])
    true = run(originals, mouths, mel, label)
    reading = model(mouths, mel)
    assert_same(reading.recalled, true["te"])
    assert_same(reading.heard, true["tr"])
    assert (true["te"] - true["tr"]).abs().max() > 1e-2
    assert_same(reading.sound, true["sound"])
    assert_same(reading.rebuilt, true["rebuilt"])
    assert_same(reading.addresses.seen.exp(), true["seen"])
    assert_same(reading.addresses.heard.exp(), true["heard"])
    total, parts = losses.reading_loss(reading, dict(label=label))
    for made, name in ((total, "total"), (parts["addresses"], "add"), (parts["rebuilt"], "recon")):
        torch.testing.assert_close(made, true[name], rtol=1e-5, atol=1e-5)
    total.backward()
    true["total"].backward()
    slopes = {
        part: {name: weight.grad for name, weight in x.named_parameters()} for part, x in originals.items()
    }
    _, _, expected = read_memory(
        {f"{part}_state_dict": x for part, x in slopes.items()}, None, Path("slopes")
    )
    for name, weight in model.named_parameters():
        scale = expected[name].abs().max().item()
        assert scale > 1e-6, name
        torch.testing.assert_close(weight.grad, expected[name], rtol=1e-3, atol=1e-4 * scale, msg=name)


def test_widths_of_the_paper():
    """Ours by default is the original, tensor for tensor, with either back-end."""
    for backend, slots in (("GRU", 88), ("MSTCN", 168)):
        with torch.device("meta"):
            parts = reference(backend, 64, 128, 512, slots, 500)
            model = LipReader([str(n) for n in range(500)], backend=backend, slots=slots, pool3=True)
        saved = {
            part: {name: torch.zeros(()).expand(x.shape) for name, x in state.items()}
            for part, state in checkpoint(parts).items()
        }
        assert saved["mem_state_dict"]["key"].shape == (slots, 512)
        assert saved["mem_state_dict"]["fusion.weight"].shape == (512, 1024)
        _, config, tensors = read_memory(saved, None, Path("original.ckpt"))
        assert {**model.config, **config} == model.config
        state = {name: x.shape for name, x in model.state_dict().items() if "num_batches" not in name}
        assert {name: x.shape for name, x in tensors.items()} == state
    tcn = parts["back"].state_dict()
    assert tcn["tcn.mb_ms_tcn.network.3.cbcr1_2.conv.weight"].shape == (256, 768, 7)
    assert tcn["tcn.tcn_output.weight"].shape == (500, 768)


@torch.no_grad()
def test_the_pooling_of_the_original_sees_the_upper_left():
    model, plain = network(pool3=True, size=112), network(size=112)
    plain.load_state_dict(model.state_dict())
    mouths = noisy(1, 1, 112, 112)
    maps = []
    model.frontend.stages.register_forward_hook(lambda _, __, out: maps.append(out))
    features = model.frontend(mouths)
    assert maps[0].shape[-2:] == (4, 4)
    torch.testing.assert_close(features[0, 0], maps[0][0, :, :3, :3].mean((1, 2)))
    torch.testing.assert_close(plain.frontend(mouths)[0, 0], maps[0][0].mean((1, 2)))
    assert (plain.frontend(mouths) - features).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("side", "frames"), [(32, 1), (45, 3), (96, 29)])
def test_any_size_of_mouth_and_any_length(options, side, frames):
    mouths, mel, boundary = example(frames, side)
    reading = network(**options)(mouths, mel, boundary)
    heads, width, slots = options.get("heads", 0), SMALL["width"], SMALL["slots"]
    assert reading.recalled.shape == (2, 3)
    if options.get("memory") is False:
        assert all(one is None for one in reading[1:])
        return
    assert reading.heard.shape == (2, 3)
    assert reading.sound.shape == reading.rebuilt.shape == (2, frames, width)
    assert reading.addresses.seen.shape == ((2, frames, heads, slots) if heads else (2, frames, slots))
    assert reading.addresses.heard.shape == (2, frames, slots)
    sums = reading.addresses.seen.exp().sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))
    assert (reading.likeness is None) == (not heads)


@torch.no_grad()
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_mouth_without_sound_recalls_the_same(options):
    model, (mouths, mel, boundary) = network(**options), example()
    silent, full = model(mouths, None, boundary), model(mouths, mel, boundary)
    torch.testing.assert_close(silent.recalled, full.recalled, rtol=0, atol=0)
    assert silent.heard is None and silent.sound is None and silent.rebuilt is None
    if model.memory is not None:
        torch.testing.assert_close(silent.addresses.seen, full.addresses.seen, rtol=0, atol=0)
        assert silent.addresses.heard is None and (full.heard - full.recalled).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, dict(heads=4), dict(boundary=True)], ids=str)
def test_who_is_blind_listens(options):
    model, (mouths, mel, boundary) = network(**options), example()
    full, blind = (model(mouths, mel, boundary, one) for one in (None, torch.tensor([True, False])))
    torch.testing.assert_close(blind.heard[0], model.listen(mel, boundary)[0])
    torch.testing.assert_close(blind.heard[1], full.heard[1])
    assert (blind.heard[0] - full.heard[0]).abs().max() > 1e-3
    torch.testing.assert_close(blind.recalled, full.recalled)
    with pytest.raises(ValueError, match="hears nothing"):
        network(memory=False).listen(mel)


@torch.no_grad()
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_clips_of_unlike_lengths_are_read_as_alone(options):
    model, (mouths, mel, boundary) = network(**options), example()
    lengths = torch.tensor([3, FRAMES])
    read = model(mouths, None, boundary, lengths=lengths).recalled
    for clip, length in enumerate(lengths):
        alone = model(mouths[clip : clip + 1, :length], None, boundary[clip : clip + 1, :length]).recalled
        torch.testing.assert_close(read[clip : clip + 1], alone)
    assert (read - model(mouths, None, boundary).recalled)[0].abs().max() > 1e-3
    with pytest.raises(ValueError, match="without their sound"):
        model(mouths, mel, boundary, lengths=lengths)


@torch.no_grad()
def test_the_back_end_is_told_where_the_word_is():
    model, (mouths, mel, boundary) = network(boundary=True), example()
    told, other = (model(mouths, mel, one) for one in (boundary, 1 - boundary))
    assert (told.recalled - other.recalled).abs().max() > 1e-3
    assert (told.heard - other.heard).abs().max() > 1e-3
    with pytest.raises(ValueError, match="where the word is"):
        model(mouths, mel)
    plain = network()
    torch.testing.assert_close(plain(mouths, mel, boundary).heard, plain(mouths, mel).heard)


LEARNS = dict(  # of each loss: the parts that get a gradient, and no others
    recalled={"frontend", "memory.keys", "memory.ask", "fusion.layer", "backend"},
    heard={"frontend", "hearing", "fusion.layer", "backend"},
    addresses={"frontend", "memory.keys", "memory.ask"},
    rebuilt={"memory.values", "memory.file"},
)
HEADS_LEARN = dict(
    recalled=LEARNS["recalled"] | {"fusion.norm", "fusion.recalled_norm"},
    heard=LEARNS["heard"] - {"fusion.layer"} | {"fusion.hear", "fusion.norm", "fusion.heard_norm"},
    rebuilt=LEARNS["rebuilt"],
    orthogonal={"memory.values"},
)


def learners(model: nn.Module, loss: Tensor) -> set[str]:
    """The parts that get a gradient, in all of their weights; of a bias that a normalisation undoes it is zero"""
    model.zero_grad(set_to_none=True)
    loss.backward()
    found: dict[str, set[bool]] = {}
    for name, weight in model.named_parameters():
        part = ".".join(name.split(".")[: 2 if name.startswith(("memory", "fusion")) else 1])
        learnt = weight.grad is not None and bool(weight.grad.any())
        if weight.ndim > 1 or learnt:
            found.setdefault(part, set()).add(learnt)
    assert all(len(learnt) == 1 for learnt in found.values()), found
    return {part for part, learnt in found.items() if True in learnt}


@pytest.mark.parametrize("part", LEARNS)
@pytest.mark.parametrize("backend", ["GRU", "MSTCN"])
def test_who_learns_from(part, backend):
    model = network(backend=backend, dropout=0.0).train()
    mouths, mel, _ = example()
    _, parts = losses.reading_loss(model(mouths, mel), dict(label=torch.tensor([0, 2])))
    assert parts.keys() == LEARNS.keys()
    assert learners(model, parts[part]) == LEARNS[part]


@pytest.mark.parametrize("part", HEADS_LEARN)
def test_who_learns_from_with_heads(part):
    model = network(heads=4, dropout=0.0).train()
    mouths, mel, _ = example()
    _, parts = losses.reading_loss(model(mouths, mel), dict(label=torch.tensor([0, 2])))
    assert parts.keys() == HEADS_LEARN.keys()
    assert learners(model, parts[part]) == HEADS_LEARN[part]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_weight_gets_a_gradient(options):
    """Where one had none, processes that train together would wait for it."""
    model, (mouths, mel, boundary) = network(**options).train(), example()
    total, parts = losses.reading_loss(model(mouths, mel, boundary), dict(label=torch.tensor([0, 2])))
    total.backward()
    assert total.isfinite()
    assert not [name for name, weight in model.named_parameters() if weight.grad is None]
    assert options.get("memory", True) or parts.keys() == {"recalled"}


@pytest.mark.parametrize("options", [*OPTIONS, dict(pool3=True, view=0.7, radius=8.0, dropout=0.1)], ids=str)
def test_readers_come_back_from_their_files(options, tmp_path):
    model, path = network(**options), tmp_path / "reader.safetensors"
    save_model(path, model, dict(steps=3))
    again = load_model(path, expect=LipReader)
    assert again.config == model.config and again.classes == WORDS and again.metadata == dict(steps=3)
    assert options.items() <= again.config.items()
    mouths, mel, boundary = example()
    with torch.no_grad():
        made, true = (one(mouths, mel, boundary) for one in (again, model))
    assert torch.equal(made.recalled, true.recalled)
    assert made.heard is None or torch.equal(made.heard, true.heard)


def test_options_that_clash():
    with pytest.raises(ValueError, match="no back-end LSTM; there are GRU and MSTCN"):
        LipReader(WORDS, backend="LSTM")
    with pytest.raises(ValueError, match="24 wide cannot have 5 heads"):
        LipReader(WORDS, **SMALL, heads=5)


@torch.no_grad()
def test_the_front_end_of_lip_to_speech():
    torch.manual_seed(3)
    small = dict(size=32, context=8, decoder=16, postnet=4, noise=2)
    base, model = lively(LipToSpeech(front=3, **small)), network()
    mouths = noisy(1, FRAMES, 32, 32)
    before = model.frontend(mouths)
    model.start_from_lips(base)
    assert_same(model.frontend(mouths), base.frontend(mouths))
    assert (model.frontend(mouths) - before).abs().max() > 1e-2
    with pytest.raises(ValueError, match="has the width 4, this one 3"):
        model.start_from_lips(LipToSpeech(front=4, **small))


@torch.no_grad()
@pytest.mark.parametrize("heads", [0, 4])
def test_half_precision(heads):
    """Sharp addresses, in 16 bits: finite, and near those of 32"""
    model, (mouths, mel, _) = network(radius=200.0, heads=heads), example()
    whole = model(mouths, mel)
    with torch.autocast("cpu", torch.bfloat16):
        reading = model(mouths, mel)
    assert reading.addresses.seen.dtype == torch.float32
    assert reading.addresses.seen.isfinite().all() and reading.addresses.seen.min() < -100
    assert losses.reading_loss(reading, dict(label=torch.tensor([0, 2])))[0].isfinite()
    assert isinstance(reading, Reading)
    assert (reading.heard - whole.heard).abs().max() < 0.1 * whole.heard.abs().max()
