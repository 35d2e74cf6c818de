"""Lip-to-speech's generator: any size and length, padding that changes nothing, attention within reach, its files."""

import pytest
import torch
from torch import Tensor

from models import load_model, save_model
from models.lips.generator import Context, LipToSpeech, Speech, attention_mask
from models.lips.judges import SpeechJudge, SyncNet
from models.lips.sound import VoiceEncoder
from tests.models.lips.originals import lively
from utils.audio.mel import SILENCE
from utils.letters import CLASSES

SMALL = dict(size=32, front=4, context=16, decoder=32, postnet=8, noise=4)
FRAMES = 6


def network(**options) -> LipToSpeech:
    torch.manual_seed(0)
    return lively(LipToSpeech(**(SMALL | options)))


def noisy(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize(("side", "frames"), [(32, 1), (45, 3), (112, 6)])
def test_any_size_of_mouth_and_any_length(side, frames):
    speech = network(text=True)(noisy(2, frames, side, side))
    assert [tuple(mel.shape) for mel in speech.mels] == [(2, 20 * n, frames * n) for n in (1, 2, 4)]
    assert speech.spectrum.shape == (2, 321, 4 * frames)
    assert [tuple(one.shape) for one in speech.attention] == [(2, frames, frames), (2, 2 * frames, frames)]
    assert speech.seen.local.shape == (2, frames, 32) and speech.seen.context.shape == (2, frames, 16)
    assert speech.seen.text.shape == (2, frames, CLASSES)
    assert all(mel.abs().max() <= 1 for mel in speech.mels)


@torch.no_grad()
def test_without_the_text_head_nothing_is_read():
    assert network()(noisy(1, 2, 32, 32)).seen.text is None


@torch.no_grad()
def test_noise_is_drawn_anew_or_given():
    model, mouths, noise = network(), noisy(1, FRAMES, 32, 32), noisy(1, 4, 20, FRAMES)
    finest = [model(mouths, noise=one).mels[2] for one in (noise, noise, 2 * noise, None, None)]
    assert torch.equal(finest[0], finest[1])
    assert not any(torch.equal(finest[a], finest[b]) for a, b in ((0, 2), (0, 3), (3, 4)))


@torch.no_grad()
def test_padding_changes_nothing_for_the_encoder():
    """What lies beyond a clip's end, be it anything, is not heard; the rest is as for the clip alone."""
    model, lengths = network(text=True), torch.tensor([3, FRAMES, 1])
    local = noisy(3, FRAMES, 32)
    seen = model.read(local, lengths)
    for clip, length in enumerate(lengths):
        alone = model.read(local[clip : clip + 1, :length])
        torch.testing.assert_close(seen.context[clip : clip + 1, :length], alone.context)
        torch.testing.assert_close(seen.text[clip : clip + 1, :length], alone.text)
    assert (model.read(local).context[0, :3] - seen.context[0, :3]).abs().max() > 1e-3
    assert seen.context.shape == (3, FRAMES, 16)


@torch.no_grad()
def test_a_padded_clip_is_seen_as_the_clip_alone():
    """Whatever stands for the missing frames: black, as stores' padding, is not the front-end's own nothing."""
    model, lengths, mouths = network(), torch.tensor([3, FRAMES]), noisy(2, FRAMES, 32, 32)
    seen, alone = model.look(mouths, lengths), model.look(mouths[:1, :3])
    torch.testing.assert_close(seen.local[:1, :3], alone.local)
    torch.testing.assert_close(seen.context[:1, :3], alone.context)
    assert (model.look(mouths).local[0, 2] - alone.local[0, 2]).abs().max() > 1e-3


@torch.no_grad()
def test_a_network_with_rows_and_sketch_begins_as_the_one_without():
    base, model = network(), network(rows=3, sketch=True)
    mouths, noise = noisy(1, FRAMES, 32, 32), noisy(1, 4, 20, FRAMES)
    speech, other = base(mouths, noise=noise), model(mouths, noise=noise)
    assert (speech.mels[0] - other.mels[0]).abs().max() > 1e-3
    model.grow_from(base)
    assert_equal(speech, model(mouths, noise=noise))
    model.decoder.bottleneck[0].shortcut.weight[:, -3:] = (
        1.0  # what the rows say is heard, and differs between rows
    )
    moved = (model(mouths, noise=noise).mels[0] - speech.mels[0]).abs().amax((0, 2))
    assert moved.min() > 0 and moved.std() > 0


@torch.no_grad()
def test_a_sketch_is_drawn_four_columns_a_frame_and_averaged_for_the_smaller_mels():
    base, model = network(), network(sketch=True)
    mouths, noise = noisy(1, FRAMES, 32, 32), noisy(1, 4, 20, FRAMES)
    model.grow_from(base)
    for head in model.decoder.to_mels:  # so that what comes of it is far from saturation
        head[-1].weight.mul_(0.1)
    before = model(mouths, noise=noise)
    drawn = noisy(4, 80)
    model.sketch.bias.copy_(drawn.flatten())
    after = model(mouths, noise=noise)
    added = [(new.atanh() - old.atanh())[0] for new, old in zip(after.mels, before.mels, strict=True)]
    torch.testing.assert_close(added[2], drawn.T.repeat(1, FRAMES), atol=1e-3, rtol=1e-3)
    coarse = drawn.T.reshape(20, 4, 4).mean((1, 2))
    torch.testing.assert_close(added[0], coarse[:, None].expand(-1, FRAMES), atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_convolutions_over_time_join_a_linear_sketch_and_see_sixteen_frames():
    base, model = network(sketch=True), network(sketch=True, sketch_width=12)
    mouths, noise = noisy(1, FRAMES, 32, 32), noisy(1, 4, 20, FRAMES)
    assert model.grow_from(base) == []
    assert_equal(base(mouths, noise=noise), model(mouths, noise=noise))
    torch.nn.init.normal_(model.sketch.layers[-1].weight)
    features = noisy(1, 60, 48)
    before, changed = model.sketch(features), features.clone()
    changed[:, 30] = noisy(48, seed=2)
    moved = (model.sketch(changed) - before).abs().amax((0, 1)).unflatten(0, (60, 4)).amax(1) > 0
    assert moved[14:47].all() and not moved[:14].any() and not moved[47:].any()
    assert before.shape == (1, 80, 240) and before.std(2).min() > 0


@torch.no_grad()
def test_without_a_decoder_the_sketch_says_it_all(tmp_path):
    base, model = network(sketch=True, sketch_width=12), network(sketch=True, sketch_width=12, decoder=0)
    assert model.grow_from(base) == ["decoder"]
    mouths = noisy(1, FRAMES, 32, 32)
    spoken = model(mouths)
    assert_equal(spoken, base.draft(base.look(mouths)))
    assert spoken.attention == () and not any(name.startswith("decoder") for name in model.state_dict())
    assert [tuple(mel.shape) for mel in spoken.mels] == [(1, 20 * n, FRAMES * n) for n in (1, 2, 4)]
    save_model(tmp_path / "a.safetensors", model)
    assert_equal(load_model(tmp_path / "a.safetensors")(mouths), spoken)


def test_a_width_is_of_a_sketch():
    with pytest.raises(ValueError, match="there is none"):
        network(sketch_width=8)


@pytest.mark.parametrize("options", [dict(), dict(sketch=True, rows=3), dict(sketch=True, voice=4)])
def test_a_network_has_a_decoder_or_a_sketch_alone(options):
    with pytest.raises(ValueError, match="without a decoder there has to be a sketch"):
        network(decoder=0, **options)


@torch.no_grad()
@pytest.mark.parametrize(
    ("options", "lost"),
    [
        (dict(decoder=16), ["decoder", "rows"]),
        (dict(decoder=0, rows=0), ["decoder", "rows"]),
        (dict(sketch_width=8), ["sketch.layers"]),
        (dict(sketch_width=0), ["sketch.layers"]),
        (dict(sketch=False, sketch_width=0, postnet=16), ["postnet", "sketch", "sketch.layers"]),
    ],
)
def test_what_has_other_widths_begins_anew(options, lost):
    had = dict(rows=3, sketch=True, sketch_width=12)
    base, model = network(**had), network(**had | options)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for tensor in base.state_dict().values():
        tensor.add_(1)
    assert model.grow_from(base) == lost
    for name, tensor in model.state_dict().items():
        anew = name.startswith(tuple(f"{part}." for part in lost))
        assert torch.equal(tensor, fresh[name] if anew else base.state_dict()[name]), name


@pytest.mark.parametrize("decoder", [0, 32])
def test_the_sketch_is_drawn_once_for_all_sizes(decoder):
    """Or each size would have a dropout of its own"""
    drawn, model = [], network(sketch=True, sketch_width=12, decoder=decoder).train()
    model.sketch.register_forward_hook(lambda *_: drawn.append(1))
    model(noisy(1, FRAMES, 32, 32))
    assert len(drawn) == 1


@pytest.mark.parametrize(
    ("stage", "keep_stem", "trained"),
    [
        ("all", False, {"frontend", "encoder", "summary", "letters", "rows", "sketch", "decoder", "postnet"}),
        ("sight", False, {"frontend", "encoder", "summary", "letters", "sketch", "postnet"}),
        ("sight", True, {"frontend", "encoder", "summary", "letters", "sketch", "postnet"}),
        ("speech", False, {"rows", "sketch", "decoder", "postnet"}),
    ],
)
def test_a_stage_trains_its_parts_alone(stage, keep_stem, trained):
    model = network(text=True, rows=3, sketch=True).train()
    model.train_stage(stage, keep_stem)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    optimiser = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    speech = model(noisy(2, FRAMES, 32, 32))
    (speech.spectrum.sum() + sum(mel.sum() for mel in speech.mels) + speech.seen.text.sum()).backward()
    optimiser.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in changed} == trained
    assert any(name.startswith("frontend.stem") for name in changed) == (
        "frontend" in trained and not keep_stem
    )


@torch.no_grad()
def test_a_draft_is_what_the_sketch_says_without_the_decoder():
    base, model = network(), network(sketch=True)
    model.grow_from(base)
    model.sketch.bias.copy_(noisy(4, 80).flatten())
    silent = [head[-1] for head in model.decoder.to_mels]
    for layer in silent:
        layer.weight.zero_(), layer.bias.zero_()
    mouths, noise = noisy(1, FRAMES, 32, 32), noisy(1, 4, 20, FRAMES)
    whole = model(mouths, noise=noise)
    model.train_stage("sight")
    drawn = model(mouths)
    torch.testing.assert_close(drawn.mels, whole.mels)
    torch.testing.assert_close(drawn.spectrum, whole.spectrum)
    assert drawn.attention == ()


@torch.no_grad()
def test_padding_is_not_attended_to():
    model, lengths, noise = network(), torch.tensor([3, FRAMES]), noisy(2, 4, 20, FRAMES)
    seen = Context(noisy(2, FRAMES, 32), noisy(2, FRAMES, 16, seed=2), None)
    speech = model.speak(seen, lengths, noise)
    for attention in speech.attention:
        assert not attention[0, :, 3:].any() and attention[1].min() > 0 and attention[0, :, :3].min() > 0
        torch.testing.assert_close(attention.sum(2), torch.ones(2, attention.shape[1]))
    changed = seen.context.clone()
    changed[0, 3:] += 10
    assert_equal(speech, model.speak(seen._replace(context=changed), lengths, noise))
    changed[0, 2] += 1
    other = model.speak(seen._replace(context=changed), lengths, noise)
    assert (other.mels[1] - speech.mels[1])[0].abs().max() > 1e-3


def assert_equal(one: Speech, other: Speech) -> None:
    for a, b in zip((*one.mels, one.spectrum), (*other.mels, other.spectrum), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("reach", [0, 1, 4])
def test_reach_limits_attention(reach):
    model, noise, lengths = network(), noisy(2, 4, 20, FRAMES), torch.tensor([FRAMES, 4])
    seen = Context(noisy(2, FRAMES, 32), noisy(2, FRAMES, 16, seed=2), None)
    attention = model.speak(seen, None, noise, reach=reach).attention
    for scale, found in zip((1, 2), attention, strict=True):
        columns, frames = torch.arange(scale * FRAMES) // scale, torch.arange(FRAMES)
        near = (columns.unsqueeze(1) - frames).abs() <= reach
        assert torch.equal(found > 0, near.expand(2, -1, -1))
    # with lengths, both; a column beyond a clip's end sees what both leave it
    mask = attention_mask(FRAMES, lengths, reach, torch.device("cpu"))
    frames = torch.arange(FRAMES)
    near = (frames.unsqueeze(1) - frames).abs() <= reach
    assert torch.equal(mask[0], near) and torch.equal(mask[1], near & (frames < 4))


@torch.no_grad()
def test_reach_over_everything_is_no_limit():
    model, noise = network(), noisy(1, 4, 20, FRAMES)
    seen = Context(noisy(1, FRAMES, 32), noisy(1, FRAMES, 16, seed=2), None)
    assert_equal(model.speak(seen, None, noise), model.speak(seen, None, noise, reach=FRAMES - 1))
    assert attention_mask(FRAMES, None, FRAMES - 1, torch.device("cpu")) is None


@torch.no_grad()
def test_a_voice_is_chosen_by_a_recording():
    model, mouths, noise = network(voice=5), noisy(2, FRAMES, 32, 32), noisy(2, 4, 20, FRAMES)
    with pytest.raises(ValueError, match="recording of the wanted voice"):
        model(mouths, noise=noise)
    voices = noisy(2, 80, 30)
    made = model(mouths, noise=noise, voice=voices).mels[2]
    assert made.shape == (2, 80, 4 * FRAMES)
    other = model(mouths, noise=noise, voice=torch.cat([voices[:1], 2 * voices[1:]])).mels[2]
    torch.testing.assert_close(other[0], made[0])
    assert (other[1] - made[1]).abs().max() > 1e-3


@torch.no_grad()
def test_a_voice_is_the_same_with_more_silence_around_it():
    torch.manual_seed(0)
    encoder = VoiceEncoder(7, width=8)
    silence = torch.full((1, 80, 12), SILENCE)  # more than the convolutions reach
    said = torch.cat([silence, 0.5 * noisy(1, 80, 40).clamp(-1, 2), silence], dim=2)
    padded = torch.cat([silence, said, silence, silence], dim=2)
    voice = encoder(said)
    assert voice.shape == (1, 7)
    torch.testing.assert_close(encoder(padded), voice, rtol=1e-5, atol=1e-6)
    assert (encoder(said.roll(5, 1)) - voice).abs().max() > 1e-3
    assert encoder(silence).isfinite().all()


@pytest.mark.parametrize(
    "model",
    [
        LipToSpeech(**SMALL),
        LipToSpeech(**SMALL, view=0.7, dropout=0.1, text=True, voice=6),
        SpeechJudge(12, 2),
        SyncNet(16, 4, 0.2, True),
        SyncNet(16, 4),
    ],
)
def test_networks_come_back_from_their_files(model, tmp_path):
    path = tmp_path / "network.safetensors"
    save_model(path, model, dict(steps=3))
    again = load_model(path, expect=type(model))
    assert again.config == model.config and again.metadata == dict(steps=3) and not again.training
    state = again.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_gradient_reaches_every_weight():
    """The sum of all outputs: of a bias before a normalisation, or one that softmax cancels, it may be zero."""
    model = network(text=True, voice=5, dropout=0.0).train()
    speech = model(noisy(2, FRAMES, 32, 32), torch.tensor([FRAMES, 4]), voice=noisy(2, 80, 30))
    outputs = [*speech.mels, speech.spectrum, speech.seen.text]
    torch.stack([(output * noisy(*output.shape, seed=3)).sum() for output in outputs]).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.ndim < 2 or parameter.grad.abs().max() > 1e-6, name
