from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

from animation.heads.motion import check_choice, given_motion, learned_motion, played, read_motion
from animation.heads.references import best_pictures, check_turn, squared, unfitness
from animation.heads.turning import HeadTurner, turned_landmarks
from models import load_model
from models.head3d.sheet import make_sheet
from tests.raw_corpus import write_film
from tests.talking import head_motion, write_wave
from utils.errors import UserError
from utils.face.detector import FaceDetector, find_face
from utils.face.landmarks import MOUTH, TEMPLATE
from utils.face.pose import fit_pose, motion_of, pose_of
from utils.media.images import to_tensor, to_uint8

data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.fixture(scope="module")
def person(detector):
    photo = data.astronaut()[:280, 90:370].copy()
    return photo, find_face(photo, detector, lambda boxes: boxes[0])[0]


def unwatched(frames, count):
    return frames


def turn(*degrees):
    return np.array([*np.radians(degrees), 0, 0, 0])


def test_rest_leaves_the_picture_and_motion_leaves_its_border(person):
    photo, landmarks = person
    turner = HeadTurner(landmarks, photo.shape[:2])
    assert turner(photo, np.zeros(6)) is photo
    turned = turner(photo, turn(5, 8, 3))
    assert turned.dtype == np.uint8 and turned.shape == photo.shape
    below = int(turner.sheet.box[3]) + 1
    assert (turned[below:] == photo[below:]).all()
    assert (turned[:, [0, -1]] == photo[:, [0, -1]]).mean() > 0.9
    assert np.abs(turned.astype(int) - photo).mean() > 2


@pytest.mark.parametrize("asked", [(0, 10, 0), (0, -10, 0), (8, 0, 0), (-8, 0, 0), (0, 0, 10), (5, 8, -6)])
def test_the_turned_face_is_found_in_the_pose_that_was_asked_for(person, detector, asked):
    photo, landmarks = person
    turned = HeadTurner(landmarks, photo.shape[:2])(photo, turn(*asked))
    found = find_face(turned, detector, lambda boxes: boxes[0])[0]
    rest = fit_pose(landmarks[None])
    motion = np.degrees(motion_of(fit_pose(found[None]), rest)[0, :3])
    assert np.abs(motion - asked).max() < 3  # dlib's own error, of pictures turned and not


def test_turned_landmarks_follow_the_pose_and_keep_the_expression():
    rest = fit_pose(TEMPLATE[None])
    open_mouth = TEMPLATE.copy()
    open_mouth[[*range(55, 60), *range(65, 68)], 1] += 6
    motion = np.stack([np.zeros(6), turn(0, 12, 0)])
    moved = turned_landmarks(np.stack([open_mouth] * 2), rest, motion)
    np.testing.assert_allclose(moved[0], open_mouth, atol=1e-3)
    rigid = fit_pose(moved[1:])
    assert np.abs(np.degrees(motion_of(rigid, rest)[0, :3]) - [0, 12, 0]).max() < 1
    heights = [np.ptp(points[MOUTH, 1]) for points in moved]
    assert heights[1] == pytest.approx(heights[0], rel=0.03)


def test_the_fast_way_draws_what_the_sheet_draws(person):
    photo, landmarks = person
    motion = turn(4, 9, -5)
    fast = HeadTurner(landmarks, photo.shape[:2])(photo, motion)
    rest = fit_pose(landmarks[None])
    sheet = make_sheet(landmarks, rest, photo.shape[:2])
    whole = to_uint8(sheet.pictures(to_tensor(photo).float() / 127.5 - 1, pose_of(motion[None], rest)))[0]
    difference = np.abs(fast.astype(int) - whole)
    assert difference.mean() < 1.5


def test_learned_motion_starts_at_rest_and_depends_on_the_seed(tmp_path):
    network = load_model(head_motion(tmp_path), "cpu")
    write_wave(tmp_path / "speech.wav", 40000)
    one, same, other = (
        np.stack(list(learned_motion(network, tmp_path / "speech.wav", seed, 1.0))) for seed in (1, 1, 2)
    )
    assert one.shape == (63, 6) and not one[0].any()
    assert (one == same).all() and np.abs(one - other).max() > 0.01
    half = np.stack(list(learned_motion(network, tmp_path / "speech.wav", 1, 0.5)))
    assert np.abs(half).max() < np.abs(one).max()


def test_motion_goes_back_and_forth_and_begins_at_the_photos_pose():
    track = np.zeros((40, 6), np.float32)
    track[:, 1] = np.linspace(0.1, 0.2, 40)
    made = np.stack(list(islice(played(track, "track"), 200)))
    assert not made[0].any()
    np.testing.assert_allclose(made[39], track[39], atol=1e-6)
    np.testing.assert_allclose(made[39 + 10], track[29], atol=1e-6)
    np.testing.assert_allclose(made[78], track[0], atol=1e-6)
    assert np.abs(np.diff(made, axis=0)).max() < 0.03  # no jump, at either end
    one = np.stack(list(islice(played(track[:1], "track"), 60)))
    np.testing.assert_allclose(one[-1], track[0], atol=1e-6)


def test_absurd_angles_are_held_and_that_is_said(capsys):
    track = np.zeros((60, 6), np.float32)
    track[:, 0] = 1.4
    made = np.stack(list(islice(played(track, "wild.npy"), 60)))
    assert np.degrees(made[:, 0].max()) < 25.01
    assert "wild.npy: turns by up to 80 degrees" in capsys.readouterr().err


def test_motion_files(tmp_path, detector):
    motion = np.random.default_rng(0).uniform(-0.1, 0.1, (30, 6)).astype(np.float32)
    np.save(tmp_path / "six.npy", motion)
    np.save(tmp_path / "three.npy", motion[:, :3])
    np.save(tmp_path / "clip_rt.npy", np.column_stack([-motion[:, :3], 100 * motion[:, 3:]]))
    assert (read_motion(tmp_path / "six.npy") == motion).all()
    assert (read_motion(tmp_path / "three.npy")[:, :3] == motion[:, :3]).all()
    turned = read_motion(tmp_path / "clip_rt.npy")
    assert not turned[:, 3:].any() and np.abs(turned[:, :3]).max() < 0.4
    for name, values in dict(flat=np.zeros(6), wide=np.zeros((5, 7)), nan=np.full((5, 6), np.nan)).items():
        np.save(tmp_path / f"{name}.npy", values)
        with pytest.raises(UserError, match=name):
            read_motion(tmp_path / f"{name}.npy")
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(UserError, match="no head motion can be read"):
        read_motion(tmp_path / "text.npy")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match="no head motion and no video"):
        given_motion(tmp_path / "notes.txt", detector, 1.0, 10, unwatched)
    with pytest.raises(UserError, match="no such file"):
        check_choice("leaned")


def test_a_videos_motion_is_that_of_its_head(tmp_path, person, detector):
    photo, landmarks = person
    turner = HeadTurner(landmarks, photo.shape[:2])
    asked = np.radians(8) * np.sin(np.arange(60) / 6)
    pictures = [turner(photo, np.array([0, 0, angle, 0, 0, 0])).copy() for angle in asked]
    write_film(tmp_path / "film.mp4", pictures)
    made = given_motion(tmp_path / "film.mp4", detector, 1.0, 50, unwatched)
    found = np.stack(list(islice(made, 50)))
    assert np.corrcoef(found[25:, 2], asked[25:50])[0, 1] > 0.97
    assert 0.7 < found[25:, 2].std() / asked[25:50].std() < 1.3
    double = np.stack(list(islice(given_motion(tmp_path / "film.mp4", detector, 2.0, 50, unwatched), 50)))
    np.testing.assert_allclose(double[25:40, 2], 2 * found[25:40, 2], atol=0.02)
    write_film(tmp_path / "empty.mp4", [np.zeros((96, 96, 3), np.uint8)] * 30)
    with pytest.raises(UserError, match="shows a face for less"):
        given_motion(tmp_path / "empty.mp4", detector, 1.0, 25, unwatched)


def test_the_best_picture_looks_at_the_camera(tmp_path, person, detector):
    photo, landmarks = person
    turner = HeadTurner(landmarks, photo.shape[:2])
    angles = [20, 18, 15, 12, 8, 0, 8, 12, 15, 18]
    write_film(
        tmp_path / "film.mp4", [turner(photo, turn(0, angle, 0)).copy() for angle in angles for _ in range(5)]
    )
    best, *others = best_pictures(tmp_path / "film.mp4", detector, lambda boxes: boxes[0], unwatched, 3)
    assert len(others) == 2
    assert np.abs(best.astype(int) - photo).mean() < 6
    write_film(tmp_path / "none.mp4", [np.zeros((96, 96, 3), np.uint8)] * 6)
    with pytest.raises(UserError, match="no face found"):
        best_pictures(tmp_path / "none.mp4", detector, lambda boxes: boxes[0], unwatched)


def test_the_face_that_is_wanted_may_be_in_another_picture(tmp_path, person, detector):
    photo, _ = person
    alone = np.concatenate([photo, np.zeros_like(photo)], axis=1)
    write_film(tmp_path / "film.mp4", [alone] * 10 + [np.concatenate([photo, photo], axis=1)] * 10)

    def second(boxes):
        if len(boxes) < 2:
            raise UserError("no face number 2")
        return boxes[1]

    best, *_ = best_pictures(tmp_path / "film.mp4", detector, second, unwatched)
    assert best[:, 300:].mean() > 30
    write_film(tmp_path / "one.mp4", [alone] * 10)
    with pytest.raises(UserError, match="no face number 2"):
        best_pictures(tmp_path / "one.mp4", detector, second, unwatched)


def test_pixels_that_are_not_square_become_so():
    picture = np.zeros((30, 40, 3), np.uint8)
    assert squared(picture, None) is picture
    assert squared(picture, Fraction(4, 3)).shape == (30, 53, 3)


def test_faces_turned_too_far_are_refused():
    rest = fit_pose(TEMPLATE[None])
    aside = turned_landmarks(TEMPLATE[None], rest, turn(0, 50, 0)[None])[0]
    check_turn(TEMPLATE, "photo")
    assert unfitness(aside) > unfitness(TEMPLATE)
    with pytest.raises(UserError, match="photo: its face is turned by"):
        check_turn(aside, "photo")
