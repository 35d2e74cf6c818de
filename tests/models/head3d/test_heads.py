import numpy as np
import pytest
import torch

from models.head3d.sheet import make_sheet
from models.head3d.textured import MIRRORED, TexturedFace, triangulation, with_sides
from models.warp import sample_at
from utils.face.landmarks import TEMPLATE
from utils.face.mean_face import MEAN_FACE
from utils.face.pose import Pose, fit_pose, frontalise, place, pose_of

SIZE = 128


@pytest.fixture(scope="module")
def rest():
    return fit_pose(TEMPLATE[None])


def turn(rest, *angles, more=(0, 0, 0)):
    """The rest pose turned by so many degrees of pitch, yaw, roll"""
    return pose_of(np.array([[*np.radians(angles), *more]]), rest)


def textured_picture():
    """(3, SIZE, SIZE): every place has a colour of its own, and both sides of the face have the same"""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    aside = (x - 63.5).abs() / 64
    return torch.stack([aside, y / SIZE, 0.5 + 0.4 * torch.cos(aside * 12)]).float()


def test_pixels_are_found_at_their_places():
    """In pictures that are no squares; one picture at several places, several at the same"""
    picture = torch.rand(3, 20, 31)
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(31.0), indexing="ij")
    own = torch.stack([x, y], -1)[None]
    places = torch.cat([own, own.flip(2)])
    expected = torch.stack([picture, picture.flip(-1)])
    assert (sample_at(picture[None], places) - expected).abs().max() < 1e-4
    assert (sample_at(expected, own) - expected).abs().max() < 1e-4


def test_the_triangulation_is_symmetric_and_faces_the_viewer():
    triangles = triangulation()
    known = {tuple(sorted(one)) for one in triangles.tolist()}
    assert all(tuple(sorted(MIRRORED[i] for i in one)) in known for one in known)
    assert set(triangles.flatten().tolist()) == set(range(93))
    np.testing.assert_allclose(with_sides(MEAN_FACE)[MIRRORED] * [-1, 1, 1], with_sides(MEAN_FACE), atol=0.02)


def test_the_key_frames_own_pose_gives_its_own_pixels(rest):
    key = textured_picture()
    drawn, mask = TexturedFace(TEMPLATE, rest).render(key, rest)
    assert drawn.shape == (1, 3, SIZE, SIZE) and 0.3 < mask.mean() < 0.6
    assert (drawn - key * mask).abs().max() < 1e-2


@pytest.mark.parametrize("angles", [(0, 20, 0), (-15, 0, 0), (0, 0, 20), (10, -15, 8)])
def test_pixels_go_where_the_pose_puts_them(rest, angles):
    """Colours of landmarks that stay in sight are found at the landmarks of the other pose."""
    key, other = textured_picture(), turn(rest, *angles)
    drawn, mask = TexturedFace(TEMPLATE, rest).render(key, other)
    there = place(frontalise(TEMPLATE[None], rest)[0], other)[0]
    for point in (30, 33, 39, 42, 51, 57):
        (x0, y0), (x1, y1) = TEMPLATE[point].round().astype(int), there[point].round().astype(int)
        assert mask[0, 0, y1, x1] == 1
        assert (drawn[0, :, y1, x1] - key[:, y0, x0]).abs().max() < 0.12


def test_the_hidden_side_comes_from_the_other(rest):
    """A key frame turned aside, its far side black: seen from the front, that side shows the near one's skin."""
    aside = turn(rest, 0, 45, 0)
    landmarks = place(frontalise(TEMPLATE[None], rest)[0], aside)[0]
    front, _ = TexturedFace(TEMPLATE, rest).render(torch.ones(3, SIZE, SIZE), aside)
    key = front[0].clone()
    nose = int(landmarks[30, 0])
    far = nose > landmarks[36:48, 0].mean()
    key[:, :, nose + 8 :] *= 0 if far else 1
    key[:, :, : nose - 8] *= 1 if far else 0
    drawn, mask = TexturedFace(landmarks, aside).render(key, rest)
    cheeks = [drawn[0, :, 70, x].mean() for x in (33, 94)]
    assert min(cheeks) > 0.8 and mask[0, 0, 70, [33, 94]].all()


def test_a_sheet_at_rest_is_the_picture_and_a_turned_one_moves_the_head_alone(rest):
    sheet = make_sheet(TEMPLATE, rest, (SIZE, SIZE))
    y, x = torch.meshgrid(torch.arange(SIZE).float(), torch.arange(SIZE).float(), indexing="ij")
    own = torch.stack([x, y], -1)
    still = sheet.sampling(rest, (SIZE, SIZE), (0.0, 0.0), 1.0)[0]
    assert (still - own).abs().max() < 1e-2
    moved = (sheet.sampling(turn(rest, 0, 12, 5), (SIZE, SIZE), (0.0, 0.0), 1.0)[0] - own).norm(dim=-1)
    assert moved[[0, -1]].max() < 0.05  # the border stays, but where the head comes before it
    assert (moved[:, [0, -1]] < 0.05).float().mean() > 0.5
    assert moved[60, 64] > 4  # the nose does not


def test_the_background_of_a_large_picture_stands_still(rest):
    far = Pose(rest.rotation, rest.translation + 200, rest.scale)
    sheet = make_sheet(TEMPLATE + 200, far, (528, 600))
    left, top, right, _ = sheet.box
    assert left > 60 and right < 480 and top > 60
    assert sheet.share[sheet.points[:, 0] < left + 5].max() == 0
    assert (sheet.share == 1).float().mean() > 0.1


@pytest.mark.parametrize("angles", [(12, 0, 0), (0, -15, 0), (0, 0, 10), (-8, 10, 6)])
def test_landmarks_of_the_turned_sheet_have_the_pose_that_was_asked_for(rest, angles):
    """Where each landmark's pixel went, by searching the sampling; the pose of that is the pose asked for."""
    asked = turn(rest, *angles, more=(0.05, -0.03, 0.02))
    sheet = make_sheet(TEMPLATE, rest, (SIZE, SIZE))
    sampling = sheet.sampling(asked, (2 * SIZE, 2 * SIZE), (0.0, 0.0), 0.5)[0]
    distances = (sampling[None] - torch.from_numpy(TEMPLATE)[:, None, None]).norm(dim=-1).flatten(1)
    nearest = distances.argmin(1)
    found = torch.stack([nearest % (2 * SIZE), nearest // (2 * SIZE)], -1).numpy() * 0.5
    pose, whole = fit_pose(found[None]), fit_pose(place(frontalise(TEMPLATE[None], rest)[0], asked))
    assert np.degrees(np.abs(pose.rotation - whole.rotation)).max() < 2


def test_several_poses_at_once_are_each_alone(rest):
    sheet = make_sheet(TEMPLATE, rest, (SIZE, SIZE))
    motion = 0.1 * np.random.default_rng(0).standard_normal((4, 6)) * [1, 1, 1, 0.3, 0.3, 0.2]
    poses = pose_of(motion, rest)
    whole = sheet.sampling(poses, (40, 40), (10.0, 5.0), 2.5)
    for number in range(4):
        alone = sheet.sampling(poses[number : number + 1], (40, 40), (10.0, 5.0), 2.5)[0]
        assert (whole[number] - alone).abs().max() < 0.05


def test_pictures_are_sampled_where_the_sheet_says(rest):
    key, asked = textured_picture(), turn(rest, 5, 10, 5)
    sheet = make_sheet(TEMPLATE, rest, (SIZE, SIZE))
    assert (sheet.pictures(key, rest)[0] - key).abs().max() < 1e-2
    drawn = sheet.pictures(key, asked)[0]
    places = sheet.sampling(asked, (SIZE, SIZE), (0.0, 0.0), 1.0)[0]
    column, row = places[60, 64].round().long().tolist()
    assert (drawn[:, 60, 64] - key[:, row, column]).abs().max() < 0.05
