import numpy as np
import pytest

from data.heads.poses import PoseStore, default_path, write_poses
from data.store import ClipStore
from preprocess.pose import main, parse_args
from tests.synthetic import make_clip
from utils.errors import UserError
from utils.face.landmarks import TEMPLATE
from utils.face.mean_face import MEAN_FACE
from utils.face.pose import Pose, place, place_3d
from utils.face.rotations import to_matrices
from utils.media.images import read_photo


@pytest.fixture(scope="module")
def turned():
    """A head that nods, turns and leans, and its poses"""
    time = np.arange(40) / 25
    angles = np.radians(12) * np.column_stack(
        [np.sin(3 * time), np.sin(2 * time + 1), 0.5 * np.cos(4 * time)]
    )
    return Pose(angles, np.tile([64.0, 40.0], (40, 1)) + 3 * angles[:, :2], np.full(40, 80.0))


@pytest.fixture(scope="module")
def store(tmp_path_factory, turned):
    from data.store_writer import StoreWriter

    path = tmp_path_factory.mktemp("poses") / "clips.h5"
    notes = dict(parameters=dict(size=128, landmarks="drawn", crop="static"), versions={})
    writer = StoreWriter(path, dict(fps=25, sample_rate=16000, size=128, template=TEMPLATE, **notes))
    clip = make_clip(0, frames=40)
    clip.landmarks = place(MEAN_FACE, turned).astype(np.float32)
    writer.add("a/one", clip)
    writer.add("b/two", make_clip(1, frames=12))
    writer.pack()
    return path


def run(*words):
    main(parse_args([str(word) for word in words]))


def test_poses_of_a_store_are_those_of_its_heads(store, turned, capsys):
    run(store, "--smoothing", 0)
    poses = PoseStore(default_path(store))
    poses.check({"a/one": 40, "b/two": 12})
    assert poses.ids == ["a/one", "b/two"] and "a/one" in poses
    between = np.swapaxes(to_matrices(turned.rotation), -1, -2) @ to_matrices(poses["a/one"].rotation)
    assert np.degrees(np.arccos(np.clip((np.trace(between, axis1=1, axis2=2) - 1) / 2, -1, 1))).max() < 0.5
    assert poses.motion("a/one").shape == (40, 6) and poses.face("a/one").shape == (68, 3)
    assert "2 clips" in capsys.readouterr().out
    assert read_photo(store.with_name("clips_pose.png")).shape[2] == 3


def test_exported_files_turn_back_into_the_landmarks(store, tmp_path):
    run(store, tmp_path / "poses.h5", "--export", tmp_path)
    clip = ClipStore(store)["a/one"]
    rt, front = np.load(tmp_path / "a/one_rt.npy"), np.load(tmp_path / "a/one_front.npy")
    assert rt.shape == (40, 6) and front.shape == (40, 68, 3)
    turn = to_matrices(rt[:, :3])  # front = R landmarks + t
    back = np.swapaxes(turn, -1, -2)[:, None] @ (front - rt[:, None, 3:])[..., None]
    assert np.abs(back[..., :2, 0] - clip.landmarks).max() < 0.5


def test_landmarks_of_three_dimensions_are_taken_whichever_way_they_look(store, turned, tmp_path):
    points = place_3d(MEAN_FACE, turned)
    for name, sign in (("away", 1), ("near", -1)):
        folder = tmp_path / name
        for id, values in (("a/one", points * [1, 1, sign]), ("b/two", points[:12])):
            (folder / id).parent.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{id}.npy", values)
        run(store, tmp_path / f"{name}.h5", "--landmarks", folder, "--smoothing", 0)
        found = PoseStore(tmp_path / f"{name}.h5")["a/one"]
        np.testing.assert_allclose(found.rotation, turned.rotation, atol=0.02)


def test_bad_input_is_named(store, tmp_path):
    np.save(tmp_path / "bad.npy", np.zeros((3, 68, 2)))
    (tmp_path / "points/a").mkdir(parents=True)
    np.save(tmp_path / "points/a/one.npy", np.zeros((3, 68, 2)))
    with pytest.raises(UserError, match=r"a/one.npy: holds \(3, 68, 2\) numbers"):
        run(store, tmp_path / "poses.h5", "--landmarks", tmp_path / "points")
    with pytest.raises(UserError, match="the poses are one"):
        run(store, tmp_path / "poses.txt")
    with pytest.raises(UserError, match="no such folder"):
        run(store, tmp_path / "poses.h5", "--landmarks", tmp_path / "nowhere")
    assert not (tmp_path / "poses.h5").exists()


def test_a_clip_store_is_never_replaced_by_poses(store, tmp_path):
    before = store.read_bytes()
    with pytest.raises(UserError, match="is there already, and holds no poses"):
        run(store, store)
    (tmp_path / "notes.h5").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.h5: is there already"):
        run(store, tmp_path / "notes.h5")
    assert store.read_bytes() == before and (tmp_path / "notes.h5").read_text() == "mine"
    for _ in range(2):
        run(store, tmp_path / "poses.h5")  # poses by poses


def test_files_that_hold_no_poses_are_refused(store, tmp_path):
    with pytest.raises(UserError, match="no such poses"):
        PoseStore(tmp_path / "none.h5")
    with pytest.raises(UserError, match="holds no poses"):
        PoseStore(store)
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(UserError, match="no HDF5 file"):
        PoseStore(tmp_path / "text.h5")
    bad = Pose(np.full((2, 3), np.nan), np.zeros((2, 2)), np.ones(2))
    write_poses(tmp_path / "nan.h5", {"a": (bad, MEAN_FACE)})
    with pytest.raises(UserError, match="not finite"):
        PoseStore(tmp_path / "nan.h5")


def test_poses_of_another_store_are_refused(tmp_path):
    pose = Pose(np.zeros((2, 3)), np.zeros((2, 2)), np.ones(2))
    write_poses(tmp_path / "poses.h5", {"a": (pose, MEAN_FACE)})
    poses = PoseStore(tmp_path / "poses.h5")
    poses.check({"a": 2})
    with pytest.raises(UserError, match="has 2 poses, the store 3 frames"):
        poses.check({"a": 3})
    with pytest.raises(UserError, match="has no clip b"):
        poses.check({"b": 2})
