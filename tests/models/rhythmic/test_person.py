import numpy as np
import pytest
import torch

from models.head3d.head import Head
from models.rhythmic.maps import template_mask
from models.rhythmic.person import KEPT, Person, guide_inputs, label_inputs, nearest, network_inputs
from tests.models.rhythmic.inputs import small
from utils.face.landmarks import TEMPLATE, to_crop_size
from utils.face.pose import Pose, fit_pose, pose_of

SIZE = 64


@pytest.fixture(scope="module")
def heads():
    torch.manual_seed(0)
    points = to_crop_size(TEMPLATE, SIZE)
    rest = fit_pose(points[None])
    first = Head(torch.rand(3, SIZE, SIZE) * 2 - 1, points, rest)
    pose = pose_of(np.array([[0, 0.25, 0, 0, 0, 0]]), rest)
    return [first, Head(first.pictures(pose)[0], first.landmarks_in(pose)[0], pose)]


@pytest.mark.parametrize(
    "options", [{}, dict(landmark_flow=True), dict(warp_ani=False), dict(warp_ref=False)]
)
def test_a_person_is_drawn_as_a_batch_of_the_same_is(heads, options):
    """References embedded once and frames in chunks, against the network's own forward with everything given"""
    network = small(**options).eval()
    pose = pose_of(np.array([[0.05, 0.3, 0, 0, 0, 0], [0, -0.05, 0.05, 0.02, 0, 0]]), heads[0].rest)
    landmarks = heads[0].landmarks_in(pose)
    person = Person(network, heads)
    target, chosen = torch.from_numpy(landmarks), nearest(person.poses, pose)
    chunks = []
    for i in range(2):
        chunks.append(person.draw(landmarks[i : i + 1], pose[i : i + 1]).frames)
        assert person.chosen.tolist() == [chosen[i]]

    points = torch.from_numpy(np.stack([head.landmarks for head in heads])).float()
    images = torch.stack([head.image for head in heads])
    batch = label_inputs(images.expand(2, -1, -1, -1, -1), points.expand(2, -1, -1, -1))
    label = guide_inputs(images, target, target, "warp", False, False)["warp_label"]
    flow = bool(options.get("landmark_flow"))
    pairs = [(heads[number], pose[i : i + 1]) for i, number in enumerate(chosen)]
    moved = torch.from_numpy(np.concatenate([head.landmarks_in(own) for head, own in pairs]))
    batch |= dict(label=label) | guide_inputs(images[chosen], points[chosen], target, "warp", True, flow)
    turned = torch.cat([head.pictures(own) for head, own in pairs])
    batch |= guide_inputs(turned, moved, target, "ani", True, flow)
    with torch.no_grad():
        whole = network(**network_inputs(batch)).frames
    assert (torch.cat(chunks) - whole).abs().max() < 1e-4


def test_the_reference_in_use_is_kept_until_another_one_is_clearly_nearer():
    def poses(*yaws):
        count = len(yaws)
        rotation = np.column_stack([np.zeros(count), yaws, np.zeros(count)])
        return Pose(rotation, np.zeros((count, 2)), np.ones(count))

    references = poses(0.0, 0.4)
    slightly = 0.2 + KEPT / 4
    assert nearest(references, poses(0.1, slightly, 0.35, 0.2 - KEPT / 4, 0.05)).tolist() == [0, 0, 1, 1, 0]


def test_guides_cover_eyes_and_mouth_and_leave_the_background_still(heads):
    images, points = heads[0].image[None], torch.from_numpy(heads[0].landmarks)[None].float()
    smiling = points.clone()
    smiling[:, 48:, 1] += 2
    inputs = guide_inputs(images, points, smiling, "ani", True, True)
    mask = template_mask(points, SIZE).bool().expand_as(images)
    assert (inputs["ani_image"][mask] == -1).all() and torch.equal(inputs["ani_image"][~mask], images[~mask])
    assert inputs["flow_ani"][..., 40:50, 25:40].abs().max() > 1
    assert inputs["flow_ani"][..., 0].abs().max() < 1e-3 and inputs["flow_ani"][..., -1, :].abs().max() < 0.3
    open_faced = guide_inputs(images, points, smiling, "warp", False, True)
    assert torch.equal(open_faced["warp_image"], images) and "confidence_ref" in open_faced
