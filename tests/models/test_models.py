"""Shapes, time folded or not, streaming, recurrence and the landmark warp."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from models import ATNet, ATNetSingle, Discriminator, MouthDiscriminator, VGNet
from models.convgru import ConvGRU
from models.discriminators import mouth_crops
from models.layers import fold_norms
from models.vgnet import FURTHEST, WARPS
from models.warp import landmark_warp, mouth_maps
from training.losses.vgnet import hinge_loss
from utils.face.landmarks import TEMPLATE, normalise

FACE = torch.from_numpy(normalise(TEMPLATE))


def randomise(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Running statistics that are not those of an untrained network, so that eval mode is put to the test."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model.eval()


def small_vgnet(**options) -> VGNet:
    torch.manual_seed(0)
    return randomise(VGNet(**{"width": 4, "blocks": 2, "size": 64} | options))


@pytest.fixture
def portrait() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """example_image (2, 3, 64, 64), landmarks (2, 5, 136), example_landmarks (2, 136)"""
    torch.manual_seed(1)
    return torch.rand(2, 3, 64, 64) * 2 - 1, FACE + 0.05 * torch.randn(2, 5, 136), FACE.expand(2, -1)


@pytest.mark.parametrize("warp", WARPS)
@pytest.mark.parametrize("recurrence", ["none", "time"])
def test_vgnet_folded_over_time_is_frame_by_frame(portrait, warp, recurrence):
    image, landmarks, example = portrait
    model = small_vgnet(warp=warp, recurrence=recurrence)
    with torch.no_grad():
        whole, state, frames = model(*portrait), None, []
        for t in range(5):
            single = model(image, landmarks[:, t : t + 1], example, state)
            state = single.state
            frames.append(single.frames)
    assert whole.frames.shape == (2, 5, 3, 64, 64) and whole.attention.shape == (2, 5, 1, 64, 64)
    assert whole.motion.shape == (2, 5, 3, 64, 64) and whole.landmark_attention.shape == (2, 5, 1, 16, 16)
    torch.testing.assert_close(whole.frames, torch.cat(frames, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [{"warp": "none"}, {"warp": "flow", "lids": True}])
def test_each_frame_may_have_an_example_of_its_own(portrait, options):
    model = small_vgnet(**options)
    image, landmarks, example = portrait
    torch.manual_seed(2)
    images, examples = torch.rand(2, 5, 3, 64, 64) * 2 - 1, landmarks + 0.02 * torch.randn(2, 5, 136)
    with torch.no_grad():
        repeated = model(
            image[:, None].expand(-1, 5, -1, -1, -1), landmarks, example[:, None].expand(-1, 5, -1)
        )
        once, whole, state, singles = model(*portrait), model(images, landmarks, examples), None, []
        for t in range(5):
            singles.append(model(images[:, t], landmarks[:, t : t + 1], examples[:, t], state))
            state = singles[-1].state
    parts = ["frames", "attention", "motion", "landmark_attention", "still"]
    for part in [*parts, "sampling"] if options["warp"] == "flow" else parts:
        expected = torch.cat([getattr(one, part) for one in singles], 1)
        torch.testing.assert_close(getattr(whole, part), expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(getattr(repeated, part), getattr(once, part), atol=1e-4, rtol=0)
    for i, eye in enumerate(whole.eyes):
        for found, *expected in zip(eye, *(one.eyes[i] for one in singles), strict=True):
            torch.testing.assert_close(found, torch.cat(expected, 1), atol=1e-4, rtol=0)


def test_landmarks_keep_their_precision_in_bfloat16(portrait):
    """Rounded to bfloat16, a face would move in steps of a quarter of a pixel."""
    model, seen = small_vgnet(), []
    model.landmark_encoder.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        model(*portrait)
        with torch.autocast("cpu", torch.bfloat16):
            model(*portrait)
    torch.testing.assert_close(seen[0], seen[1], rtol=0, atol=0)


def test_clips_of_a_batch_do_not_mix(portrait):
    image, landmarks, example = portrait
    model = small_vgnet()
    changed = landmarks.clone()
    changed[0] += 0.1
    with torch.no_grad():
        difference = (
            (model(image, changed, example).frames - model(*portrait).frames).abs().amax((1, 2, 3, 4))
        )
    assert difference[0] > 0 and difference[1] == 0


@pytest.mark.parametrize(("recurrence", "reaches"), [("time", True), ("none", False)])
def test_the_gru_remembers_earlier_frames_only_over_time(recurrence, reaches):
    torch.manual_seed(0)
    gru = ConvGRU(3, 4, recurrence)
    features = torch.randn(1, 4, 3, 5, 5)
    changed = features.clone()
    changed[:, 1] += 1
    difference = (gru(features)[0] - gru(changed)[0]).abs().amax((0, 2, 3, 4))
    assert difference[0] == 0 and difference[1] > 0
    assert bool(difference[3] > 0) == reaches


def test_the_grus_gradient_through_time_is_right():
    torch.manual_seed(0)
    gru = ConvGRU(3, 4).double()
    features = torch.randn(2, 4, 3, 8, 8, dtype=torch.double, requires_grad=True)
    state = torch.randn(2, 4, 8, 8, dtype=torch.double, requires_grad=True)
    inputs = (features, state, *gru.parameters())
    assert torch.autograd.gradcheck(lambda *x: gru(x[0], x[1])[0], inputs, fast_mode=True)


def test_the_frame_is_composed_as_the_paper_says(portrait):
    out = small_vgnet()(*portrait)
    still = portrait[0].unsqueeze(1)
    torch.testing.assert_close(out.frames, out.attention * out.motion + (1 - out.attention) * still)


@pytest.mark.parametrize("warp", ["none", "landmark"])
def test_direct_regression_shows_the_motion_map(portrait, warp):
    out = small_vgnet(attention="none", warp=warp)(*portrait)
    assert torch.equal(out.frames, out.motion) and out.attention.shape == (2, 5, 1, 64, 64)
    assert (out.attention == 1).all()


def test_direct_regression_differs_by_its_missing_attention_only(portrait):
    """With the same weights it is the motion map of the network that has the attention."""
    whole, direct = small_vgnet(warp="landmark"), small_vgnet(warp="landmark", attention="none")
    missing, unexpected = direct.load_state_dict(whole.state_dict(), strict=False)
    assert not missing and set(unexpected) == {"attention_head.weight", "attention_head.bias"}
    torch.testing.assert_close(direct(*portrait).frames, whole(*portrait).motion)


def test_every_parameter_of_every_network_learns(portrait):
    image, landmarks, example = portrait
    torch.manual_seed(0)
    small = dict(channels=(4, 4, 8, 8, 8), audio_features=(16, 8))
    audio, coefficients = torch.randn(2, 5, 28, 12), torch.randn(2, 6)
    cases = [
        (ATNet(**small, example_features=(8, 8), hidden=8), (audio, coefficients)),
        (ATNetSingle(**small), (audio,)),
        (VGNet(4, 2, size=64, warp="flow").train(), portrait),
        (
            MouthDiscriminator(4, size=64),
            (landmarks.new_ones(2, 5, 3, 64, 64) * image.unsqueeze(1), landmarks),
        ),
        (VGNet(4, 2, size=64, warp="landmark").train(), portrait),
        (VGNet(4, 2, size=64, attention="none").train(), portrait),
        (
            Discriminator(4, 16, 8, size=64),
            (landmarks.new_ones(2, 5, 3, 64, 64) * image.unsqueeze(1), example),
        ),
    ]
    for model, inputs in cases:
        outputs = model(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        outputs = [x for x in outputs if isinstance(x, torch.Tensor)]
        sum((x * torch.randn_like(x)).sum() for x in outputs).backward()
        dead = [
            name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()
        ]
        assert not dead, f"{type(model).__name__}: {dead}"


def test_atnet_streams_as_it_runs_whole():
    torch.manual_seed(0)
    model = randomise(
        ATNet(channels=(4, 4, 8, 8, 8), audio_features=(16, 8), example_features=(8, 8), hidden=8)
    )
    audio, example = torch.randn(1, 9, 28, 12), torch.randn(1, 6)
    with torch.no_grad():
        whole = model(audio, example)
        first, state = model.stream(audio[:, :4], example)
        second, _ = model.stream(audio[:, 4:], example, state)
    assert whole.shape == (1, 9, 6)
    torch.testing.assert_close(whole, torch.cat([first, second], 1), atol=1e-6, rtol=0)


def test_the_discriminator_takes_clips_of_any_length():
    model = Discriminator(4, 16, 8, size=64)
    for steps in (1, 16, 20):
        logits, landmarks = model(torch.zeros(2, steps, 3, 64, 64), FACE.expand(2, -1))
        assert logits.shape == (2,) and landmarks.shape == (2, steps, 136)


def test_the_warp_of_unmoved_landmarks_is_the_image():
    image = torch.rand(2, 3, 64, 64)
    warped = landmark_warp(image, FACE.expand(2, -1), FACE.expand(2, 3, -1))
    torch.testing.assert_close(warped, image.unsqueeze(1).expand(-1, 3, -1, -1, -1), atol=1e-4, rtol=0)


def test_the_warp_carries_pixels_with_the_landmarks():
    """A dot painted on the nose is found where the shifted landmarks say."""
    size, shift = 128, 6
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    nose = torch.tensor(TEMPLATE[30])
    dot = torch.exp(-((x - nose[0]) ** 2 + (y - nose[1]) ** 2) / 8.0)[None, None].expand(1, 3, -1, -1)
    moved = (FACE.view(68, 2) + torch.tensor([0.0, shift / (size / 2)])).view(1, 1, 136)
    weight = landmark_warp(dot, FACE[None], moved)[0, 0, 0]
    centre = torch.stack([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    torch.testing.assert_close(centre, nose + torch.tensor([0.0, shift]), atol=0.4, rtol=0)


def test_the_warp_is_differentiable():
    target = (FACE + 0.02).view(1, 1, 136).requires_grad_()
    landmark_warp(torch.rand(1, 3, 32, 32), FACE[None], target).square().sum().backward()
    assert torch.isfinite(target.grad).all() and target.grad.abs().max() > 0


def test_the_warp_survives_lips_that_touch():
    closed = FACE.clone().view(68, 2)
    closed[[65, 66, 67]] = closed[[63, 62, 61]]
    warped = landmark_warp(torch.rand(1, 3, 64, 64), FACE[None], closed.view(1, 1, 136))
    assert torch.isfinite(warped).all()


def test_the_mouth_map_is_the_open_mouth():
    opened = FACE.clone().view(68, 2)
    opened[[65, 66, 67], 1] += 10 / 64
    both = torch.stack([FACE, opened.reshape(136)]).view(1, 2, 136)
    inside, height, wider = mouth_maps(both, FACE[None], 128).unbind(2)
    middle = int(TEMPLATE[62, 0])
    column = inside[0, 1, :, middle]
    upper, lower = TEMPLATE[62, 1], TEMPLATE[66, 1] + 10
    assert column[int(upper + 3) : int(lower - 2)].min() > 0.8
    assert column[: int(upper - 4)].max() < 0.05 and column[int(lower + 5) :].max() < 0.05
    assert wider[0, 0].max() < 0.01 and wider[0, 1].max() > 0.5
    assert inside[0, 0].sum() < 0.4 * inside[0, 1].sum()
    assert height[0, 1, int(upper + 3), middle] < height[0, 1, int(lower - 3), middle]


def test_centring_makes_motion_louder_than_identity():
    torch.manual_seed(0)
    landmarks = FACE + 0.05 * torch.randn(4, 5, 136)
    spread = []
    for centred in (False, True):
        torch.manual_seed(0)
        model = VGNet(4, 1)
        if centred:
            model.centre_landmarks(FACE)
        encoded = model.landmark_encoder(landmarks.flatten(0, 1))
        spread.append(encoded.std(0).mean() / encoded.mean())
    assert spread[1] > 3 * spread[0]


def test_folded_norms_change_nothing_but_the_number_of_layers(portrait):
    model = small_vgnet(warp="flow")
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
        torch.nn.init.normal_(norm.running_mean)
        torch.nn.init.normal_(norm.weight)
    with torch.no_grad():
        before = model(*portrait)
        after = fold_norms(model)(*portrait)
    torch.testing.assert_close(after.frames, before.frames, atol=1e-4, rtol=0)
    torch.testing.assert_close(after.motion, before.motion, atol=1e-4, rtol=0)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert not norms


def test_a_network_with_flow_starts_from_one_without(portrait):
    landmark, flow = small_vgnet(warp="landmark"), small_vgnet(warp="flow")
    flow.start_from_warp(landmark)
    with torch.no_grad():
        torch.testing.assert_close(flow(*portrait).frames, landmark(*portrait).frames, rtol=0, atol=0)


def test_the_learned_flow_moves_the_warped_image():
    """The same flow everywhere shifts it: what lay two pixels to the right comes here."""
    model, image = small_vgnet(warp="flow"), torch.rand(1, 3, 64, 64)
    two_pixels = 2 * 2 / 64
    with torch.no_grad():
        model.flow_head.bias.copy_(torch.atanh(torch.tensor([two_pixels / FURTHEST, 0.0])))
        still = model(image, FACE.view(1, 1, 136), FACE[None]).still[0, 0]
    torch.testing.assert_close(still[:, :, :-4], image[0, :, :, 2:-2], atol=1e-3, rtol=0)


def test_mouth_crops_lie_about_the_mouth():
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    places = torch.stack([x, y]).float().expand(2, 3, 2, 128, 128)
    shift = torch.tensor([[0.0, 0.0], [10.0, -6.0]]) / 64
    landmarks = (FACE.view(68, 2) + shift[:, None, None]).expand(2, 3, 68, 2).flatten(2)
    crops = mouth_crops(places, landmarks, 48)
    assert crops.shape == (2, 3, 2, 48, 48)
    mouth = torch.tensor(TEMPLATE[48:68]).mean(0)
    middle = crops.mean((1, 3, 4))
    torch.testing.assert_close(middle[0], mouth, atol=0.51, rtol=0)
    torch.testing.assert_close(middle[1] - middle[0], torch.tensor([10.0, -6.0]))
    assert mouth_crops(places, landmarks + 0.9, 48)[..., -1, -1].max() == 127  # never beyond the image


def test_mouth_crops_are_slices_of_their_clips():
    pictures = torch.randn(3, 2, 4, 128, 128)
    landmarks = torch.tensor([-0.9, 0.1, 0.4])[:, None, None] + 0.3 * torch.rand(3, 2, 136)
    crops = mouth_crops(pictures, landmarks, 48)
    middle = landmarks.unflatten(-1, (68, 2))[..., 48:68, :].mean((1, 2))
    corners = ((middle + 1) * 64 - 24).round().long().clamp(0, 80).tolist()
    for crop, picture, (left, top) in zip(crops, pictures, corners, strict=True):
        assert torch.equal(crop, picture[..., top : top + 48, left : left + 48])


def test_crops_and_warp_ask_the_device_for_nothing():
    """A fake tensor has no values: whatever wants to know one (item, tolist, a mask as an index) fails."""
    with FakeTensorMode():
        pictures, landmarks = torch.zeros(2, 3, 3, 64, 64), torch.zeros(2, 3, 136)
        assert MouthDiscriminator(4, size=64)(pictures, landmarks)[0].shape[0] == 6
        assert landmark_warp(pictures[:, 0], landmarks[:, 0], landmarks).shape == (2, 3, 3, 64, 64)


def test_the_mouth_discriminator_judges_patches_of_30_pixels():
    torch.manual_seed(0)
    model = MouthDiscriminator(4).eval()
    frames = torch.rand(1, 1, 3, 128, 128, requires_grad=True)
    logits, _ = model(frames, FACE.expand(1, 1, -1))
    logits[0, 0, 5, 5].backward()
    seen = frames.grad[0, 0].sum(0).nonzero()
    assert (seen.amax(0) - seen.amin(0)).tolist() == [29, 29]


def test_the_mouth_discriminator_learns_to_see_blur():
    torch.manual_seed(0)
    model, landmarks = MouthDiscriminator(8), FACE.expand(2, 2, -1)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.5, 0.999))
    losses = []
    for _ in range(40):
        real = torch.rand(2, 2, 3, 128, 128) * 2 - 1
        fake = F.avg_pool2d(real.flatten(0, 1), 3, 1, 1).unflatten(0, (2, 2))
        logits, _ = model(torch.cat([real, fake]), torch.cat([landmarks, landmarks]))
        loss = hinge_loss(*logits.chunk(2))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 < 1.5 < losses[0]
