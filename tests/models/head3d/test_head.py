import numpy as np
import pytest
import torch

from models.head3d.head import Head, most_frontal, turn_between
from utils.face.landmarks import TEMPLATE
from utils.face.pose import Pose, fit_pose, pose_of

SIZE = 128


@pytest.fixture(scope="module")
def head():
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    return Head(torch.stack([x, y, torch.cos(7 * x) * torch.sin(5 * y)]), TEMPLATE, fit_pose(TEMPLATE[None]))


def turned(head, *degrees):
    return pose_of(np.array([[*np.radians(degrees), 0.05, 0, 0.02]]), head.rest)


def test_its_own_landmarks_and_pose_give_the_picture(head):
    np.testing.assert_allclose(head.landmarks_in(head.rest)[0], TEMPLATE, atol=1e-4)
    for made in (head.reshaped(TEMPLATE[None]), head.reshaped(TEMPLATE[None], head.rest)):
        assert (made[0] - head.image).abs().max() < 1e-2


def test_without_another_expression_the_head_alone_is_moved(head):
    pose = turned(head, 5, 12, -4)
    assert torch.equal(head.reshaped(head.landmarks_in(pose), pose), head.pictures(pose))


def test_expressions_do_not_reach_far_beyond_the_face(head):
    raised = TEMPLATE.copy()
    raised[17:27, 1] -= 3
    pose = turned(head, 0, 10, 0)
    moved = head.landmarks_in(pose) + (raised - TEMPLATE)
    change = (head.reshaped(moved, pose) - head.pictures(pose)).abs().amax((0, 1))
    assert change[20:30, 40:90].max() > 0.02  # the brows
    assert change[:, [0, -1]].max() < 1e-3 and change[118:].max() < 0.02


def test_angles_between_heads(head):
    poses = Pose.of(np.concatenate([head.rest.table(), turned(head, 0, 10, 0).table()]))
    np.testing.assert_allclose(np.degrees(turn_between(poses, head.rest)), [0, 10], atol=1e-6)
    assert most_frontal(poses) == 0
