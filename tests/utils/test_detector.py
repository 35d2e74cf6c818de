import cv2
import numpy as np
import pytest
from skimage import data

from utils.errors import UserError
from utils.face.alignment import apply_transform, crop_face, crop_transforms
from utils.face.detector import FaceDescriptor, FaceDetector, fill_gaps, overlap, smooth_boxes
from utils.face.landmarks import STABLE


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def portrait(left: int = 0, top: int = 0, zoom: float = 1.0) -> np.ndarray:
    """A photo of one face, from further left and above"""
    photo = data.astronaut()[20 - top : 220 - top, 120 - left : 330 - left]
    return cv2.resize(
        photo, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    )


def test_a_face_is_followed_and_does_not_jitter(detector):
    landmarks = detector.track(portrait(left=2 * t) for t in range(8))
    assert landmarks.shape == (8, 68, 2) and landmarks.dtype == np.float32
    moves = np.diff(landmarks[:, STABLE].mean(1), axis=0)
    assert np.abs(moves - (2, 0)).max() < 0.6
    mouth = landmarks[0, 48:].mean(0) + (120, 20)
    assert np.abs(mouth - (224, 149)).max() < 6  # where the astronaut smiles


@pytest.mark.parametrize("zoom", [0.5, 3.0])
def test_small_and_large_faces(detector, zoom):
    usual, zoomed = (detector.track([portrait(zoom=z)] * 2) for z in (1.0, zoom))
    assert np.abs(zoomed / zoom - usual).mean() < 2.5


def test_the_largest_face_is_followed(detector):
    small = portrait(zoom=0.6)
    frames = []
    for t in range(3):
        frame = np.full((220, 400, 3), 90, np.uint8)
        frame[: small.shape[0], 260 : 260 + small.shape[1]] = small
        frame[10:210, t : t + 210] = portrait()
        frames.append(frame)
    boxes = detector.detect(frames[0])
    assert boxes[0][0] < 200
    assert detector.track(frames)[..., 0].max() < 200
    only_small = frames[0].copy()
    only_small[:, :250] = 90  # the large one turns away: the other must not take its place
    lost = detector.track([frames[0], only_small, frames[1]])
    assert np.isnan(lost[1]).all() and not np.isnan(lost[[0, 2]]).any()


def test_a_descriptor_knows_a_person_again(detector):
    describe = FaceDescriptor()
    face, larger = portrait(), portrait(zoom=2.0)
    landmarks = detector.track([face])[0]
    other = cv2.warpAffine(
        face, np.array([[0.75, 0, 20], [0, 1.15, -20]]), face.shape[1::-1]
    )  # a narrower face
    pictures = [(face, landmarks), (larger, 2 * landmarks), (other, landmarks * (0.75, 1.15) + (20, -20))]
    own, again, stranger = (describe(*one) / np.linalg.norm(describe(*one)) for one in pictures)
    assert own.shape == (128,) and own @ again > 0.98 and own @ stranger < own @ again - 0.01


def test_a_pattern_like_a_face_is_not_taken_for_one(detector):
    mirrored = cv2.resize(data.astronaut()[:, ::-1], None, fx=2, fy=2)
    (box,) = detector.detect(mirrored)  # not the badge on her chest, which is larger and scores a little
    assert overlap(box, (492, 166, 666, 340)) > 0.6


def test_frames_without_a_face(detector):
    empty = np.full((200, 210, 3), 90, np.uint8)
    landmarks = detector.track([empty, portrait(), empty, portrait()])
    assert np.isnan(landmarks[:, 0, 0]).tolist() == [True, False, True, False]
    assert np.isnan(detector.track([portrait(), empty, empty, portrait()], longest_gap=1)[3]).all()
    assert detector.track([]).shape == (0, 68, 2)


@pytest.mark.parametrize("shape", [(2, 4000, 3), (4000, 2, 3), (1, 2000, 3)])
def test_strips_have_no_face(detector, shape):
    assert detector.detect(np.full(shape, 90, np.uint8)) == []


def test_gaps_are_interpolated():
    landmarks = np.arange(12, dtype=np.float32)[:, None, None] * np.ones((12, 68, 2), np.float32)
    holes = landmarks.copy()
    holes[[0, 3, 4, 5, 6, 7, 11]] = np.nan
    filled = fill_gaps(holes)
    np.testing.assert_allclose(filled[1:11], landmarks[1:11], atol=1e-5)
    assert (filled[0] == 1).all() and (filled[11] == 10).all()


def test_longer_gaps_are_named():
    landmarks = np.zeros((12, 68, 2), np.float32)
    landmarks[3:9] = np.nan
    with pytest.raises(UserError, match="no face in frame 3 and the 5 after it"):
        fill_gaps(landmarks)
    landmarks[:] = np.nan
    with pytest.raises(UserError, match="no face"):
        fill_gaps(landmarks)


def test_boxes_are_smoothed_within_unbroken_runs():
    boxes = np.repeat(np.array([[10.0, 10, 50, 50]]), 12, 0)
    boxes[::2] += 2  # jitter
    boxes[6:] += 300  # a cut
    boxes[9] = np.nan
    smoothed = smooth_boxes(boxes)
    assert np.isnan(smoothed[9]).all() and np.isnan(smoothed).sum() == 4
    assert np.ptp(smoothed[1:5], axis=0).max() < 0.7
    assert smoothed[5].max() < 60 and smoothed[6].min() > 300
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (5, 5, 6, 6)) == 0


@pytest.mark.parametrize("scale", [1.7, 1.0, 0.6, 0.22])
def test_a_crop_shows_each_point_where_the_transform_puts_it(scale):
    y, x = np.mgrid[:300, :400]
    point = np.array([210.3, 140.6])
    spread = 4 / scale
    blob = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * spread**2))
    image = np.repeat((255 * blob)[..., None], 3, 2).astype(np.uint8)
    a, b = scale * np.cos(0.2), scale * np.sin(0.2)
    transform = np.array([[a, -b, 0], [b, a, 0]])
    transform[:, 2] = (30.2, 35.7) - transform[:, :2] @ point
    crop = crop_face(image, transform, 64)[..., 0].astype(float)
    y, x = np.mgrid[:64, :64]
    centroid = np.array([(x * crop).sum(), (y * crop).sum()]) / crop.sum()
    np.testing.assert_allclose(centroid, apply_transform(transform, point[None])[0], atol=0.15)


def test_a_crop_in_place_is_exact_and_a_shrunk_one_does_not_alias():
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_face(image, np.eye(2, 3), 64), image)
    board = np.repeat(((np.indices((256, 256)).sum(0) % 2) * 255).astype(np.uint8)[..., None], 3, 2)
    shrunk = crop_face(board, np.array([[0.25, 0, 0.2], [0, 0.25, 0.3]]), 48)
    assert np.ptp(shrunk[4:-4, 4:-4].astype(int)) < 70 and abs(shrunk.mean() - 127) < 8


def test_the_crop_does_not_shimmer_when_landmarks_jitter():
    random = np.random.default_rng(0)
    face = crop_transforms(np.repeat(portrait_landmarks()[None], 40, 0))
    jittered = portrait_landmarks() + 0.7 * random.standard_normal((40, 68, 2))
    transforms = crop_transforms(jittered)
    nose = portrait_landmarks()[30:31]
    steps = np.diff(np.stack([apply_transform(t, nose)[0] for t in transforms]), axis=0)
    assert np.abs(face - transforms).max() < 2 and np.linalg.norm(steps, axis=-1).mean() < 0.12


def portrait_landmarks() -> np.ndarray:
    from utils.face.landmarks import TEMPLATE

    return TEMPLATE.astype(np.float64) * 1.3 + 40


def test_another_shots_face_is_followed_at_once(detector):
    """Though it is in another place, and one that is lost for some frames is waited for"""
    other = np.full((200, 420, 3), 240, np.uint8)
    other[:, 210:] = portrait()
    wide = np.full((200, 420, 3), 20, np.uint8)
    wide[:, :210] = portrait()
    found = detector.track([wide] * 8 + [other] * 8)
    assert not np.isnan(found).any()
    assert found[7, :, 0].max() < 210 < found[8, :, 0].min()


def test_a_stream_is_followed_as_the_whole_and_holds_few_frames(detector):
    empty = np.full((200, 210, 3), 90, np.uint8)
    frames = [portrait(left=t % 5) for t in range(11)] + [empty, empty] + [portrait(top=t) for t in range(4)]
    boxes = smooth_boxes(np.stack([box for _, box in detector._follow(frames, None)]))
    whole = [
        np.full((68, 2), np.nan) if np.isnan(box[0]) else detector.landmarks(frame, box)
        for frame, box in zip(frames, boxes, strict=True)
    ]
    read, given = 0, []

    def counted():
        nonlocal read
        for frame in frames:
            read += 1
            yield frame

    for points in detector.track_stream(counted()):
        given.append(points)
        assert read - len(given) <= 6
    np.testing.assert_array_equal(np.stack(given), np.stack(whole))
    assert np.isnan(given)[11:13].all() and np.isnan(given).sum() == 2 * 136
