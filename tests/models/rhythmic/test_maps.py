"""Maps of landmarks: edges, boxes, flows and how far they are to be trusted"""

import time

import cv2
import numpy as np
import pytest
import torch

from models.rhythmic.flow import warp_by_flow
from models.rhythmic.maps import (
    cover,
    edge_map,
    hull_depth,
    photometric_confidence,
    pseudo_flow,
    template_mask,
)
from utils.face.landmarks import TEMPLATE, to_crop_size


def faces(count: int, size: int, spread: float = 0.01, seed: int = 0) -> torch.Tensor:
    """Landmarks (B, 68, 2) of a face in the middle of the picture, each moved a little"""
    torch.manual_seed(seed)
    points = torch.from_numpy(to_crop_size(TEMPLATE, size))
    points = (points - points.mean(0)) * 0.7 + size / 2
    return points + spread * size * torch.randn(count, 68, 2)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_edges_pass_through_the_landmarks(size):
    points = faces(3, size)
    maps = edge_map(points, size)
    assert maps.shape == (3, 1, size, size) and maps.min() == 0 and maps.max() <= 1
    drawn = [i for i in range(68) if i not in (27, 29, 30)]  # the nose is a triangle from bridge to nostrils
    near = torch.nn.functional.max_pool2d(maps, 3, 1, 1)
    columns, rows = points[:, drawn].round().long().unbind(-1)
    found = near[:, 0][torch.arange(3).unsqueeze(1), rows, columns]
    assert found.min() > 0.45


def test_lines_are_as_thick_and_as_dark_as_the_originals():
    """Straight lines, against OpenCV's own of one pixel"""
    points = torch.full((1, 68, 2), -500.0)
    points[0, 17:22] = torch.stack([torch.linspace(20, 100, 5), torch.linspace(30, 70, 5)], dim=1)
    ours = edge_map(points, 128)[0, 0]
    canvas = np.zeros((128, 128), np.uint8)
    cv2.line(canvas, (20, 30), (100, 70), 255, 1, cv2.LINE_AA)
    assert ours.sum().item() == pytest.approx(np.hypot(80, 40), rel=0.06)
    assert (
        torch.corrcoef(torch.stack([ours.flatten(), torch.from_numpy(canvas).flatten() / 255]))[0, 1] > 0.93
    )


def test_the_contour_closes_over_the_forehead():
    points = faces(1, 128, 0)
    base, chin = points[0, [0, 16], 1].mean(), points[0, 8, 1]
    top = base - 2 / 3 * (chin - base)
    rows = edge_map(points, 128)[0, 0].amax(1).nonzero()
    assert rows.min().item() == pytest.approx(top.item(), abs=1.5)
    inside = cv2.floodFill(
        np.pad((edge_map(points, 128)[0, 0].numpy() > 0.3).astype(np.uint8), 1), None, (0, 0), 1
    )
    assert (
        inside[1][64, 64] == 0 or inside[1][60, 50] == 0
    )  # the fill from the corner does not reach the face


def test_faces_beyond_the_picture_draw_what_is_within():
    points = faces(1, 128)
    moved = edge_map(points + torch.tensor([40.0, -30.0]), 128)
    torch.testing.assert_close(moved[..., :98, 40:], edge_map(points, 128)[..., 30:, :88], atol=1e-3, rtol=0)
    assert edge_map(points + 1000, 128).sum() == 0


def test_batched_is_one_by_one_and_fast():
    points = faces(16, 128)
    one_by_one = torch.cat([edge_map(one[None], 128) for one in points])
    torch.testing.assert_close(edge_map(points, 128), one_by_one, atol=1e-4, rtol=0)
    begin = time.process_time()
    for _ in range(5):
        edge_map(points, 128)
    assert 80 / (time.process_time() - begin) > 300


def test_boxes_of_eyes_and_mouth_grow_with_the_picture():
    small, large = (template_mask(faces(2, size, 0), size) for size in (128, 256))
    assert small.shape == (2, 1, 128, 128) and set(small.unique().tolist()) == {0.0, 1.0}
    assert torch.nn.functional.avg_pool2d(large, 2).mean().item() == pytest.approx(
        small.mean().item(), rel=0.1
    )
    points = faces(2, 256, 0)
    assert large[0, 0, round(points[0, 66, 1].item()), round(points[0, 66, 0].item())] == 1
    rows, columns = large[0, 0].nonzero().unbind(1)
    assert rows.max().item() == int(points[0, 57, 1] + 5) and columns.min().item() >= int(
        points[0, 36, 0] - 2
    )
    covered = cover(torch.zeros(2, 3, 256, 256), large)
    torch.testing.assert_close(covered, -large.expand(-1, 3, -1, -1))


def test_flows_carry_landmarks():
    target = faces(2, 128, 0.003)
    turned = torch.tensor([[0.98, 0.17], [-0.17, 0.98]])
    source = (target - 64) @ turned * 1.04 + 66 + torch.tensor([1.0, -3.0])
    flow, confidence = pseudo_flow(source, target, 128)
    assert flow.shape == (2, 2, 128, 128) and confidence.shape == (2, 1, 128, 128)
    grid = (target * (2 / 127) - 1).unsqueeze(1)
    found = torch.nn.functional.grid_sample(flow, grid, align_corners=True)[:, :, 0].transpose(1, 2)
    assert (source - target).norm(dim=-1).mean() > 4
    assert (found - (source - target)).norm(dim=-1).mean() < 0.3
    same, _ = pseudo_flow(target, target, 128)
    assert same.abs().max() < 1e-2


def test_a_shifted_picture_comes_back():
    """A picture's smooth content, moved by whole pixels, is found again within the face."""
    torch.manual_seed(0)
    picture = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16), (128, 128), mode="bicubic").clamp(
        0, 1
    )
    points = faces(1, 128, 0)
    moved = picture.roll((4, -3), (2, 3))
    flow, confidence = pseudo_flow(points, points + torch.tensor([-3.0, 4.0]), 128)
    inside = confidence > 0.99
    assert 0.1 < inside.float().mean() < 0.5
    error = (warp_by_flow(picture, flow) - moved).abs()
    assert error[inside.expand_as(error)].mean() < 0.02 < error[~inside.expand_as(error)].mean()
    trusted = photometric_confidence(picture * 2 - 1, moved * 2 - 1, flow)
    assert trusted[inside].mean() > 0.95 > 0.6 > trusted[confidence == 0].mean()


def test_depth_in_a_square_is_the_distance_to_its_sides():
    square = torch.tensor([[[10.0, 10], [50, 10], [50, 50], [10, 50]]])
    depth = hull_depth(square, 64)[0, 0]
    assert depth[30, 30].item() == pytest.approx(20, abs=0.1)
    assert depth[30, 12].item() == pytest.approx(2, abs=0.01) and depth[30, 5].item() == pytest.approx(
        -5, abs=0.01
    )
