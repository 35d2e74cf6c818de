"""Our lip-to-speech networks give the outputs of the original VCA-GAN's from its weights."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.lips.generator import Context, LipToSpeech
from models.lips.judges import SpeechJudge, SyncNet
from models.original.vcagan_names import read_vcagan
from tests.models.lips.originals import PAPER, checkpoint, ours, reference, seeded
from training.losses.lip2speech import clip_context, contrast_loss, mel_pyramid, sync_loss

FRAMES = 7


@pytest.fixture(scope="module")
def original() -> dict[str, nn.Module]:
    return seeded()


@pytest.fixture(scope="module")
def converted(original) -> list[nn.Module]:
    return ours(checkpoint(original))


def noisy(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_same(made: Tensor, true: Tensor, spread: float = 1e-2) -> None:
    """Equal to 1e-5; a constant would prove nothing."""
    assert true.std() > spread
    torch.testing.assert_close(made, true, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_batch_of_whole_clips(original, converted):
    mouths, noise = noisy(2, FRAMES, 112, 112), noisy(2, 6, 20, FRAMES, seed=2)
    local, context = original["v_front"](mouths.unsqueeze(1))
    mels, attention = original["gen"](context, local, [FRAMES, FRAMES], noise)
    for lengths in (None, torch.tensor([FRAMES, FRAMES])):
        speech = converted[0](mouths, lengths, noise)
        assert_same(speech.seen.local, local)
        assert_same(speech.seen.context, context.transpose(1, 2))
        for made, true in zip(speech.mels, mels, strict=True):
            assert_same(made, true.squeeze(1), 0.05)
        for made, true in zip(speech.attention, attention, strict=True):
            assert_same(made, true)
        assert_same(speech.spectrum, original["post"](mels[2]).squeeze(1))


@torch.no_grad()
def test_shorter_clips_in_a_batch(original, converted):
    """The decoder attends as the original's does; the sentence encoder does not hear the padding that the original's
    hears, and so gives what the original gives for the clip alone
    """
    lengths, noise = [FRAMES, 4], noisy(2, 6, 20, FRAMES, seed=2)
    mouths = noisy(2, FRAMES, 112, 112)
    mouths[1, 4:] = 0
    local, context = original["v_front"](mouths.unsqueeze(1))
    mels, attention = original["gen"](context, local, lengths, noise)
    speech = converted[0].speak(Context(local, context.transpose(1, 2), None), torch.tensor(lengths), noise)
    for made, true in zip((*speech.mels, *speech.attention), (*mels, *attention), strict=True):
        assert_same(made, true.squeeze(1))
    assert_same(speech.spectrum, original["post"](mels[2]).squeeze(1))

    seen = converted[0].look(mouths, torch.tensor(lengths))
    alone = original["v_front"](mouths[1:, None, :4])
    assert_same(seen.local[1:, :4], alone[0])
    assert_same(seen.context[1:, :4], alone[1].transpose(1, 2))
    assert (seen.context[1, :4] - context[1].t()[:4]).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("frames", [20, 23])
def test_discriminators(frames, original, converted):
    mels, context = mel_pyramid(noisy(3, 80, 4 * frames)), noisy(3, frames, 24, seed=2)
    verdict = converted[1](mels, clip_context(context, torch.tensor([frames] * 3)))
    for size, mel in enumerate(mels):
        alone, given = original[f"dis{size + 1}"](mel.unsqueeze(1), context.transpose(1, 2))
        assert_same(verdict.alone[size], alone.squeeze(1), 1e-4)
        assert_same(verdict.given[size], given.squeeze(1), 1e-4)
        assert (alone - given).abs().max() > 1e-3


@torch.no_grad()
def test_sync_net_and_its_losses(original, converted):
    mels, lengths = noisy(3, 80, 4 * FRAMES), torch.tensor([FRAMES] * 3)
    theirs, network = original["s_dis"], converted[2]
    heard = network(mels)
    assert_same(heard, theirs.features(mels.unsqueeze(1)))
    seen = heard + heard.std() * noisy(*heard.shape, seed=2)
    for temperature in (1.0, 0.1):
        theirs.temp = temperature
        loss = contrast_loss(seen, heard, lengths, torch.tensor(temperature))
        torch.testing.assert_close(loss, theirs(seen, mels.unsqueeze(1)).mean())
    theirs.temp = 1.0
    assert network.temperature == 1
    # The original's 5 - |cosine| is ours but for a constant, where the cosine is positive; else it is the mistake.
    same, opposite = (theirs(sign * seen, mels.unsqueeze(1), gen=True).mean() for sign in (1, -1))
    loss = sync_loss(seen, heard, lengths)
    assert 0.05 < loss < 0.95
    torch.testing.assert_close(loss + 4, same)
    torch.testing.assert_close(same, opposite)
    torch.testing.assert_close(sync_loss(-seen, heard, lengths), 2 - loss)


def test_contrast_between_the_frames_of_a_shorter_clip(original, converted):
    """Each clip counts by its frames, and a shorter one's padding does not count at all."""
    seen, heard = noisy(2, FRAMES, 5), noisy(2, FRAMES, 5, seed=2)
    one = torch.tensor(1.0)
    losses = [
        contrast_loss(seen[i : i + 1, :n], heard[i : i + 1, :n], torch.tensor([n]), one)
        for i, n in ((0, 7), (1, 4))
    ]
    both = contrast_loss(seen, heard, torch.tensor([7, 4]), one)
    torch.testing.assert_close(both, (7 * losses[0] + 4 * losses[1]) / 11)


@pytest.fixture(scope="module")
def published() -> dict[str, nn.Module]:
    with torch.device("meta"):
        return reference(**PAPER)


def test_widths_of_the_paper(published):
    """Ours by default is the original, tensor for tensor."""
    with torch.device("meta"):
        networks = dict(LipToSpeech=LipToSpeech(), SpeechJudge=SpeechJudge(), SyncNet=SyncNet())
    zero = torch.zeros(())  # seen as many, so that no memory is needed
    saved = {
        key: {name: zero.expand(tensor.shape) for name, tensor in state.items()}
        for key, state in checkpoint(published).items()
    }
    for name, config, tensors in read_vcagan(saved, True, Path("original.ckpt")).values():
        network = networks.pop(name)
        assert {**network.config, **config} == network.config
        state = {key: x.shape for key, x in network.state_dict().items() if "num_batches" not in key}
        assert {key: tensor.shape for key, tensor in tensors.items()} == state
    assert not networks


def test_the_originals_tensors(published):
    """Facts about its checkpoints: names, shapes, how many"""
    shapes = {
        ("v_front", "frontend.0.weight"): (64, 1, 5, 7, 7),
        ("v_front", "resnet.layer1.0.relu1.weight"): (64,),
        ("v_front", "resnet.layer2.0.downsample.0.weight"): (128, 64, 1, 1),
        ("v_front", "resnet.layer4.1.bn2.running_var"): (512,),
        ("v_front", "sentence_encoder.weight_ih_l1_reverse"): (1536, 1024),
        ("v_front", "fc.weight"): (512, 1024),
        ("gen", "decode.0.conv1x1.weight"): (512, 640, 1, 1),
        ("gen", "g3.0.conv1.weight"): (32, 64, 5, 5),
        ("gen", "att1.q.weight"): (256, 2560),
        ("gen", "att2.q.weight"): (256, 2560),
        ("gen", "att1.mel.weight"): (1280, 256),
        ("gen", "att2.mel.weight"): (1280, 256),
        ("gen", "attconv1.weight"): (128, 192, 5, 5),
        ("gen", "attconv2.weight"): (64, 96, 5, 5),
        ("gen", "to_mel3.2.weight"): (1, 32, 1, 1),
        ("post", "postnet.3.conv1x1.weight"): (256, 128, 1),
        ("post", "postnet.6.weight"): (321, 256, 1),
        ("dis1", "uncond.4.weight"): (1, 128),
        ("dis2", "cond.1.weight"): (256, 768, 5, 5),
        ("dis3", "cond.6.weight"): (1, 512),
        ("s_dis", "frontend.3.weight"): (256, 128, 3, 3),
        ("s_dis", "Res_block.0.conv2.weight"): (256, 256, 3, 3),
        ("s_dis", "Linear.weight"): (512, 5120),
    }
    for (part, name), shape in shapes.items():
        assert published[part].state_dict()[name].shape == shape, name
    blocks = [
        sum(name.startswith("main.") and "conv2.weight" in name for name in published[f"dis{n}"].state_dict())
        for n in (1, 2, 3)
    ]
    assert blocks == [2, 3, 4]
