"""Finding a photo's face and laying it back."""

import numpy as np
import pytest

from utils.errors import UserError
from utils.face.alignment import apply_transform, crop_face, invert_transform
from utils.face.detector import FaceDetector, find_face
from utils.face.landmarks import TEMPLATE
from utils.face.paste_back import PasteBack, fit_for_video, paste_masks

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


def test_no_face_and_a_small_face(detector):
    with pytest.raises(UserError, match="no face found"):
        find_face(np.full((200, 300, 3), 90, np.uint8), detector)
    with pytest.raises(UserError, match="no face found"):
        find_face(np.full((2, 4000, 3), 90, np.uint8), detector)
    with pytest.raises(UserError, match="pixels wide"):
        find_face(data.astronaut()[::3, ::3], detector)


def test_masks_fade_out_before_the_border():
    face, mouth = paste_masks(LANDMARKS, 128)
    for mask in (face, mouth):
        assert mask.shape == (128, 128) and mask.min() == 0 and mask.max() == 1
        assert np.abs(np.diff(mask, axis=0)).max() < 0.25
    assert max(face[0].max(), face[-1].max(), face[:, 0].max(), face[:, -1].max()) < 0.05
    assert all(face[round(float(y)), round(float(x))] == 1 for x, y in LANDMARKS[31:])
    assert mouth[84, 63] == 1 and mouth[40, 40] == 0


def test_the_still_crop_leaves_the_photo_as_it_is(photo):
    paste = PasteBack(photo, TRANSFORM, LANDMARKS, 128)
    result = paste(crop_face(photo, TRANSFORM, 128)).astype(int)
    assert result.shape == photo.shape
    place = (
        apply_transform(invert_transform(TRANSFORM), np.array([[40.0, 40.0], [5.0, 5.0]])).round().astype(int)
    )
    for x, y in place:  # fine detail above the mouth and outside the face is the photo's own
        assert np.abs(result[y - 5 : y + 5, x - 5 : x + 5] - photo[y - 5 : y + 5, x - 5 : x + 5]).max() <= 1
    assert np.abs(result - photo).mean() < 1


def test_a_change_is_laid_in_without_an_edge(photo):
    paste = PasteBack(photo, TRANSFORM, LANDMARKS, 128)
    still = crop_face(photo, TRANSFORM, 128)
    before = paste(still).astype(int)
    change = paste(np.clip(still.astype(int) + 30, 0, 255).astype(np.uint8)).astype(int) - before
    assert change.max() >= 29 and change.min() >= -1
    steps = max(np.abs(np.diff(change[..., 1], axis=axis)).max() for axis in (0, 1))
    assert steps <= 5  # the whole change is spread over the feather
    mouth = apply_transform(invert_transform(TRANSFORM), LANDMARKS[48:68]).mean(0).round().astype(int)
    assert abs(change[mouth[1], mouth[0]] - 30).max() <= 1


def test_a_face_that_leaves_the_photo(photo):
    paste = PasteBack(photo, TRANSFORM + [[0, 0, 60], [0, 0, 0]], LANDMARKS, 128)
    assert paste(np.full((128, 128, 3), 255, np.uint8)).shape == photo.shape


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
