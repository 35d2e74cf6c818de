import numpy as np
import pytest

from data.heads.poses import PoseStore, default_path
from data.store import ClipStore
from evaluation.rhythmic.original import read_numbers
from evaluation.rhythmic.pictures import write_all
from evaluation.rhythmic.rows import BOTH, MOVED, REPEATED, WARPED, stretches, without_network
from evaluation.rhythmic.scores import face_boxes, face_psnr, picture_scores, pose_error
from evaluation.rhythmic.table import RhythmicTable
from evaluation.rhythmic.tasks import Track, key_frame, other_task, self_task, with_key
from tests.heads import make_static_store, moving_clip
from utils.errors import UserError
from utils.face.mean_face import MEAN_FACE
from utils.face.pose import fit_pose, motion_of, place, rest_pose
from utils.media.read import read_audio, read_video


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    store = ClipStore(make_static_store(tmp_path_factory.mktemp("store") / "heads.h5", clips=3))
    poses = PoseStore(default_path(store.path))
    return [Track.of(store[id], poses) for id in store.ids]


def test_references_come_first_and_are_not_made_again(tracks):
    track = tracks[0]
    task = self_task(track, 3)
    assert len(set(task.references)) == 3 and max(task.references) < 6 and task.key == task.references[0]
    assert len(task.pose) == len(task.true) == 18 and len(task.audio) == 18 * 640
    np.testing.assert_array_equal(task.true[0], track.pictures(np.array([6]))[0])
    np.testing.assert_array_equal(task.landmarks, track.landmarks[6:])


def test_a_part_of_the_frames_is_the_middle_of_the_rest(tracks):
    task = self_task(tracks[0], 1, frames=4)
    np.testing.assert_array_equal(task.landmarks, tracks[0].landmarks[13:17])


def test_chosen_references_are_left_out_of_what_is_made(tracks):
    task = self_task(tracks[0], 2, chosen=[0, 10])
    assert task.references == [0, 10] and len(task.pose) == 17
    assert with_key(task, 5).key == 5 and with_key(task, None) is task
    with pytest.raises(UserError, match="has 24 frames"):
        self_task(tracks[0], 1, chosen=[24])
    with pytest.raises(UserError, match="has 24 frames"):
        with_key(task, 30)


def test_the_key_frame_is_frontal_with_open_eyes(tracks):
    track, turned = tracks[0], np.linalg.norm(tracks[0].pose.rotation, axis=-1)
    assert key_frame(track.landmarks, track.pose) in np.argsort(turned)[:12]
    shut = track.landmarks.copy()
    first = key_frame(shut, track.pose)
    shut[first, [37, 38, 43, 44]] = shut[first, [41, 40, 47, 46]]
    assert key_frame(shut, track.pose) != first


def test_a_driver_gives_motion_and_expressions_but_not_the_face(tracks):
    person, driver = tracks[0], tracks[1]
    task = other_task(person, driver, 2)
    assert task.true is None and len(task.pose) == len(driver) and task.person is person
    rest = rest_pose(person.pose[np.array(task.references)])
    np.testing.assert_allclose(motion_of(task.pose, rest), motion_of(driver.pose), atol=1e-5)
    neutral = place(person.face, task.pose)
    assert np.abs(task.landmarks - neutral)[:, 48:].max() < 0.3 * person.pose.scale.mean()


def test_rows_without_a_network_follow_the_head(tracks):
    task = self_task(tracks[0], 2)
    made = without_network(task)
    assert {REPEATED, MOVED, WARPED, BOTH} == set(made)
    assert all(frames.shape == task.true.shape and frames.dtype == np.uint8 for frames in made.values())
    gains = {name: face_psnr(frames, task.true, task.landmarks).mean() for name, frames in made.items()}
    assert min(gains[MOVED], gains[WARPED]) > gains[REPEATED] and gains[BOTH] >= gains[MOVED] - 0.2


def test_stretches_cover_all_frames_with_one_reference_each():
    chosen = np.repeat([0, 1, 0], [3, 20, 1])
    parts = list(stretches(chosen))
    assert np.concatenate([np.arange(part.start, part.stop) for part in parts]).tolist() == list(range(24))
    assert all(len(set(chosen[part])) == 1 and part.stop - part.start <= 16 for part in parts)


def test_face_psnr_counts_the_face_alone(tracks):
    track = tracks[0]
    real = track.pictures(np.arange(4))
    fake = real.copy()
    for frame, (left, top, right, bottom) in zip(fake, face_boxes(track.landmarks[:4], 64), strict=True):
        keep = frame[top:bottom, left:right].copy()
        frame[:] = 0
        frame[top:bottom, left:right] = keep
    assert (face_psnr(fake, real, track.landmarks[:4]) == 100).all()
    assert picture_scores(fake, real, track.landmarks[:4])["psnr"] < 30


def test_pose_error_of_the_right_landmarks_is_small_and_of_none_unknown():
    clip, pose = moving_clip(0)
    assert pose_error(clip.landmarks, pose, MEAN_FACE) < 3
    still = fit_pose(clip.landmarks[:1])
    assert pose_error(np.repeat(clip.landmarks[:1], 24, 0), pose, MEAN_FACE) > pose_error(
        clip.landmarks, pose, MEAN_FACE
    )
    assert np.isnan(pose_error(np.full((24, 68, 2), np.nan), pose, MEAN_FACE)) and len(still) == 1


def test_gains_are_over_the_repeated_reference_and_intervals_over_people():
    table = RhythmicTable({"a/1": "a", "a/2": "a", "b/1": "b"})
    for id, gain in (("a/1", 1.0), ("a/2", 3.0), ("b/1", 5.0)):
        table.add(
            id,
            {
                REPEATED: dict(face_psnr=20.0, undetected=1.0),
                MOVED: dict(face_psnr=20 + gain, undetected=0.0),
            },
        )
    value, low, high = table.mean(MOVED, "face_psnr_gain")
    assert value == pytest.approx(3) and low == pytest.approx(2) and high == pytest.approx(5)
    assert table.mean(REPEATED, "undetected")[0] == 3
    assert "| 3-D head alone | 23.00 (22.00 to 25.00) |" in table.markdown()


def test_results_are_clean_videos_with_sound_and_a_picture_of_all_rows(tracks, tmp_path):
    task = self_task(tracks[0], 1)
    made = without_network(task)
    write_all(tmp_path, task, made, BOTH)
    (folder,) = tmp_path.iterdir()
    frames = list(read_video(folder / "test.mp4"))
    assert len(frames) == 18 and frames[0].shape == (64, 64, 3)
    assert np.abs(frames[5].astype(int) - made[BOTH][5]).mean() < 8
    assert abs(len(read_audio(folder / "test.mp4")) - 18 * 640) < 2048
    assert (folder / "rows.png").stat().st_size > 1000


def test_lists_of_numbers():
    assert read_numbers("--n_shot", "1,8", 1) == [1, 8] and read_numbers("--ref_img_id", "", 0) == []
    for text in ("0,-1", "1,x", "1,,2"):
        with pytest.raises(UserError, match="whole numbers"):
            read_numbers("--ref_img_id", text, 0)
    with pytest.raises(UserError, match="from 1 on"):
        read_numbers("--n_shot", "0", 1)
