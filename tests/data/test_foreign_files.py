"""HDF5 files that are no clip stores: what they hold must be in them, too."""

import h5py
import numpy as np
import pytest

from data.nrnet import read_noises
from data.nrnet_file import open_hdf5
from training.hearing import read_settings
from utils.errors import UserError


def link_out(file: h5py.File, secret: str) -> None:
    file["far"] = h5py.ExternalLink(secret, "/far")


def link_within(file: h5py.File, secret: str) -> None:
    file["soft"] = h5py.SoftLink("/nowhere")


def store_outside(file: h5py.File, secret: str) -> None:
    file.create_group("deep").create_dataset("far", (4,), "u1", external=[(secret, 0, 4)])


def map_virtually(file: h5py.File, secret: str) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(secret, "far", (4,))
    file.create_virtual_dataset("far", layout)


@pytest.mark.parametrize("leave", [link_out, link_within, store_outside, map_virtually])
def test_nothing_is_read_from_elsewhere(tmp_path, leave):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["far"] = np.arange(4, dtype=np.float32)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["own"], file.attrs["settings"] = np.zeros(8000, np.float32), "{}"
    assert read_settings(path) == {}
    open_hdf5(path, "").close()
    with h5py.File(path, "a") as file:
        leave(file, str(tmp_path / "secret.h5"))
    for read in (lambda: open_hdf5(path, "python -m preprocess.nrnet"), lambda: read_noises(path)):
        with pytest.raises(UserError, match=r"a\.h5: .*(link to elsewhere|in another file).*make it again"):
            read()
    assert read_settings(path) is None  # so that the cache is made again
