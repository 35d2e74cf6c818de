"""Flags that every script shares: which GPU is taken, and what is refused."""

from argparse import Namespace

import pytest
import torch

from utils.cli import device_list, file_name, pick_device
from utils.distributed import launch
from utils.errors import UserError

REFUSED = ["0,0", "1,0,1", "-1", "x", "", "0,", "0.5", "\u0663"]


def test_gpus_are_listed_in_the_order_given():
    assert device_list("0") == [0] and device_list("3,1") == [3, 1]


@pytest.mark.parametrize("device_ids", REFUSED)
@pytest.mark.parametrize("torchrun", [False, True])
def test_other_lists_are_refused_everywhere(device_ids, torchrun, monkeypatch):
    if torchrun:
        monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(UserError, match=f"-device_ids {device_ids}: "):
        pick_device(False, device_ids)
    with pytest.raises(UserError, match=f"-device_ids {device_ids}: "):
        launch(None, Namespace(cuda=False, device_ids=device_ids))


def test_the_chosen_gpu_becomes_the_current_one(monkeypatch):
    current = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    assert pick_device(True, "1,0") == torch.device("cuda", 1) and current == [1]
    assert pick_device(False, "1") == torch.device("cpu") and current == [1]
    with pytest.raises(UserError, match=r"-device_ids 2: this machine has 2 GPU"):
        pick_device(True, "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device(True, "1") == torch.device("cpu") and current == [1]


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "a/b", "a/", "/a", "a\\b", "a\nb", "a\0b", "\x7f", "a" * 201]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UserError, match="give a name without folders"):
        file_name("-s")(name)


def test_other_names_stay():
    for name in ("a", ".a", "a b", "a.mp4", "\N{GREEK SMALL LETTER ALPHA}", "caf\udce9", "a" * 200):
        assert file_name("-s")(name) == name
