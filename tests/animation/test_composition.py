"""A photo's face, found, and moved at the photo's own resolution."""

import cv2
import numpy as np
import pytest
import torch

from animation.composition import Change, Composer, Light, face_mask, fit_for_video, lower_face_mask
from models import VGNet
from utils.errors import UserError
from utils.face.alignment import apply_transform, chain, crop_face, invert_transform, scaling
from utils.face.detector import FaceDetector, find_face
from utils.face.landmarks import TEMPLATE, normalise
from utils.media.images import to_network, to_tensor, to_uint8

data = pytest.importorskip("skimage.data")
TRANSFORM = np.array([[0.4, 0.1, -30.0], [-0.1, 0.4, 20.0]])  # photo -> crop, for a photo of 500 x 400 pixels
LANDMARKS = TEMPLATE


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.fixture
def photo():
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 200, (10, 8, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((50, 50, 1), np.uint8)) + rng.integers(0, 30, (500, 400, 3)).astype(
        np.uint8
    )


def test_the_largest_face_is_found_also_in_a_tight_crop(detector):
    astronaut = data.astronaut()
    landmarks, count = find_face(astronaut, detector)
    assert count == 1 and 70 < np.linalg.norm(landmarks[16] - landmarks[0]) < 120
    tight, _ = find_face(astronaut[60:190, 170:280], detector)
    assert np.abs(tight + (170, 60) - landmarks).mean() < 3
    both = np.zeros((512, 768, 3), np.uint8)
    both[:256, :256], both[:, 256:] = astronaut[::2, ::2], astronaut
    landmarks_of_two, count = find_face(both, detector)
    assert count in (1, 2) and np.abs(landmarks_of_two - (256, 0) - landmarks).mean() < 2


@pytest.mark.parametrize("degrees", [-35, 35])
def test_tilted_heads_are_looked_at_upright(detector, degrees):
    """dlib's landmarks of the tilted head itself are off by a third of an eye and more."""
    photo = data.astronaut()
    straight, _ = find_face(photo, detector)
    turn = cv2.getRotationMatrix2D((224, 120), degrees, 1.0)
    tilted = cv2.warpAffine(photo, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    found, _ = find_face(tilted, detector)
    error = np.linalg.norm(found - apply_transform(turn, straight), axis=1)
    assert error[36:68].mean() < 1.5


def test_a_mission_patch_is_no_larger_face(detector):
    """At this angle the detector is two fifths as sure of it as of the face."""
    turn = cv2.getRotationMatrix2D((225, 125), -25, 1.0)
    tilted = cv2.warpAffine(data.astronaut(), turn, (513, 511), borderMode=cv2.BORDER_REPLICATE)
    found, _ = find_face(tilted, detector)
    assert np.linalg.norm(found.mean(0) - (225, 125)) < 30


def test_no_face_and_a_small_face(detector):
    with pytest.raises(UserError, match="no face found"):
        find_face(np.full((200, 300, 3), 90, np.uint8), detector)
    with pytest.raises(UserError, match="no face found"):
        find_face(np.full((2, 4000, 3), 90, np.uint8), detector)
    with pytest.raises(UserError, match="pixels wide"):
        find_face(data.astronaut()[::3, ::3], detector)


def change(flow=(0.0, 0.0), attention=0.0, motion=0.0, size=128) -> Change:
    """The same everywhere, or as the arrays say"""
    shapes = ((size, size, 2), (size, size), (size, size, 3))
    values = (flow, attention, motion)
    return Change(
        *(np.broadcast_to(np.float32(v), shape).copy() for v, shape in zip(values, shapes, strict=True))
    )


def in_photo(point: tuple[float, float]) -> np.ndarray:
    """A place of the crop -> its (x, y) in the photo"""
    return apply_transform(invert_transform(TRANSFORM), np.array([point], np.float64)).round().astype(int)[0]


def test_the_mask_fades_out_before_the_border():
    face = face_mask(LANDMARKS, 128)
    assert face.shape == (128, 128) and face.min() == 0 and face.max() == 1
    assert np.abs(np.diff(face, axis=0)).max() < 0.25
    assert max(face[0].max(), face[-1].max(), face[:, 0].max(), face[:, -1].max()) < 0.05
    assert all(face[round(float(y)), round(float(x))] == 1 for x, y in LANDMARKS[31:])


def test_no_change_leaves_the_photo_to_the_last_bit(photo):
    compose = Composer(photo, TRANSFORM, LANDMARKS, 128)
    compose(change((3, -2), 0.5, 200))
    np.testing.assert_array_equal(compose(Change.none(128)), photo)


def test_outside_the_face_nothing_changes(photo):
    result = Composer(photo, TRANSFORM, LANDMARKS, 128)(change((4, 4), 1.0, 255)).astype(int)
    inside = cv2.warpAffine(face_mask(LANDMARKS, 128), invert_transform(TRANSFORM), (400, 500)) > 0
    assert (result != photo)[inside].mean() > 0.5
    np.testing.assert_array_equal(result[~inside], photo[~inside])


def test_below_the_nose_alone_a_dubbed_picture_changes(photo):
    mask = lower_face_mask(LANDMARKS, 128)
    assert (mask <= face_mask(LANDMARKS, 128)).all() and mask[round(float(LANDMARKS[66, 1])), 64] == 1
    result = Composer(photo, TRANSFORM, LANDMARKS, 128, mask)(change((4, 4), 1.0, 255)).astype(int)
    assert mask[: int(LANDMARKS[30, 1])].max() == 0  # down to the nose's tip
    inside = cv2.warpAffine(mask, invert_transform(TRANSFORM), (400, 500)) > 0
    assert (result != photo)[inside].mean() > 0.5
    np.testing.assert_array_equal(result[~inside], photo[~inside])


def test_the_flow_moves_the_photos_own_pixels(photo):
    """By whole pixels of the photo, they arrive unblurred."""
    move = TRANSFORM[:, :2] @ (7, -4)  # in crop pixels
    result = Composer(photo, TRANSFORM, LANDMARKS, 128)(change(move)).astype(int)
    x, y = in_photo((63.5, 80))
    window = slice(y - 15, y + 15), slice(x - 15, x + 15)
    expected = np.roll(photo, (4, -7), (0, 1))[window]
    assert np.abs(result[window] - expected).max() <= 1
    assert np.abs(photo[window].astype(int) - expected).max() > 20


def test_what_is_painted_comes_in_without_an_edge(photo):
    flat = np.full_like(photo, 100)
    painted = Composer(flat, TRANSFORM, LANDMARKS, 128)(change((0, 0), 0.6, 150)).astype(int) - 100
    assert painted.max() == 30 and painted.min() == 0
    assert max(np.abs(np.diff(painted[..., 1], axis=axis)).max() for axis in (0, 1)) <= 5
    x, y = in_photo(LANDMARKS[48:68].mean(0))
    assert (painted[y, x] == 30).all()


@pytest.mark.parametrize("warp", ["none", "landmark", "flow"])
def test_at_the_networks_own_size_it_makes_the_networks_frames(warp):
    torch.manual_seed(0)
    network = VGNet(width=4, blocks=1, warp=warp).eval()
    if warp == "flow":
        torch.nn.init.normal_(network.flow_head.weight, std=0.5)
    smooth = cv2.resize(np.random.default_rng(0).integers(60, 200, (12, 12, 3)).astype(np.uint8), (128, 128))
    example = torch.from_numpy(normalise(LANDMARKS))
    moved = example.unflatten(0, (68, 2)).clone()
    moved[48:68, 1] += 0.05 * torch.linspace(-1, 1, 20)
    with torch.no_grad():
        output = network(to_network(to_tensor(smooth))[None], moved.reshape(1, 1, 136), example[None])
    (one,) = Change.of(output)
    made = Composer(smooth, scaling(1), LANDMARKS, 128)(one).astype(int)
    inner = face_mask(LANDMARKS, 128) == 1
    difference = np.abs(made - to_uint8(output.frames[0])[0])[inner]
    assert inner.mean() > 0.3 and difference.max() <= 3 and difference.mean() < 0.6
    attention, motion = one.pictures()
    np.testing.assert_array_equal(attention, to_uint8(output.attention[0], low=0)[0])
    np.testing.assert_array_equal(motion, to_uint8(output.motion[0])[0])


def test_a_crop_of_another_size_shows_what_the_whole_photo_does(photo):
    photo = cv2.GaussianBlur(photo, (0, 0), 6)
    one = change((3, -2), 0.3, 220)
    whole = Composer(photo, TRANSFORM, LANDMARKS, 128)(one)
    crop = Composer.of_crop(photo, TRANSFORM, LANDMARKS, 128, 256)(one).astype(int)
    again = crop_face(whole, chain(TRANSFORM, scaling(2)), 256)
    assert crop.shape == (256, 256, 3) and np.abs(crop - again).mean() < 0.5
    assert np.abs(crop - again)[40:-40, 40:-40].max() <= 6


def test_what_is_painted_takes_the_light_of_a_dark_photo_and_of_a_grey_one(photo):
    dark, grey = photo // 5, np.repeat(photo[..., :1], 3, axis=-1)
    assert Light.of(photo) == (1, False) and Light.of(grey) == (1, True) and Light.of(dark).gain > 3
    assert Light.of(photo).shown(photo) is photo and Light.of(photo).back(photo) is photo
    light = Light.of(dark)
    assert np.abs(light.back(light.shown(dark)).astype(int) - dark).max() <= 1
    assert np.percentile(light.shown(dark), 98) > 150
    red = change(motion=np.float32([200, 20, 20])).under(Light.of(grey)).motion
    assert np.ptp(red, axis=-1).max() < 1e-3 and red[0, 0, 0] == pytest.approx(
        0.299 * 200 + 0.701 * 20, abs=0.01
    )


def test_a_lamp_in_a_dark_photo_keeps_its_light(photo):
    dark = photo // 5
    dark[3:6, 3:6] = 250
    light = Light.of(dark)
    assert 1 <= light.gain <= 255 / 250
    assert np.abs(light.back(light.shown(dark)).astype(int) - dark).max() <= 1


def test_a_face_that_leaves_the_photo(photo):
    compose = Composer(photo, TRANSFORM + [[0, 0, 60], [0, 0, 0]], LANDMARKS, 128)
    assert compose(change((2, 2), 1.0, 255)).shape == photo.shape


def test_huge_photos_are_scaled_to_what_h264_holds():
    photo = np.zeros((3000, 5000, 3), np.uint8)
    photo[:, 2500:] = 255
    smaller, transform = fit_for_video(photo, TRANSFORM)
    height, width = smaller.shape[:2]
    assert width <= 4096 and height * width <= 36864 * 256 and width % 2 == height % 2 == 0
    before = apply_transform(TRANSFORM, np.array([[2499.5, 1499.5]]))
    after = apply_transform(transform, np.array([[(width - 1) / 2, (height - 1) / 2]]))
    np.testing.assert_allclose(after, before, atol=0.01)
    assert fit_for_video(photo[:500, :500], TRANSFORM)[0].shape == (500, 500, 3)
    assert fit_for_video(np.zeros((41000, 100, 3), np.uint8), TRANSFORM)[0].shape == (4096, 16, 3)
