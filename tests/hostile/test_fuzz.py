"""A hundred damaged files for every reader, the same ones each time; `make fuzz` tries more."""

import numpy as np
import pytest

from tests.hostile.fuzz import BAD, DEATH, HANG, OK, READERS, REFUSED, TRACEBACK, mutate, run_batch
from tests.hostile.readers import Reader

INPUTS = 100


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name, tmp_path):
    counts, notes = run_batch(name, seed=0, first=0, count=INPUTS, keep=tmp_path)
    assert not notes, "\n".join(notes)
    assert counts.total() == counts[OK] + counts[REFUSED] == INPUTS
    assert counts[REFUSED] > INPUTS / 10


def test_mutations_damage_and_repeat():
    data = bytes(range(256)) * 8
    made = [mutate(data, np.random.default_rng(seed)) for seed in range(50)]
    assert made == [mutate(data, np.random.default_rng(seed)) for seed in range(50)]
    assert sum(one != data for one in made) > 45 and len(set(made)) > 45


@pytest.mark.parametrize(("kind", "word"), [("raises", TRACEBACK), ("dies", DEATH), ("hangs", HANG)])
def test_what_ends_badly_is_counted_and_the_others_are_tried(kind, word, tmp_path, monkeypatch):
    """By readers that do as they should not, in the batch's own process"""
    monkeypatch.setenv("FUZZ_TRIAL", kind)
    monkeypatch.setenv("FUZZ_SLOWEST", "3")
    counts, notes = run_batch("trial", seed=0, first=0, count=4, keep=tmp_path)
    assert counts[word] == 1 and counts[OK] == 3 and len(notes) == 1 and word in notes[0]
    assert len(list(tmp_path.iterdir())) == 1
    assert set(BAD) >= {word} and isinstance(READERS["photo"], Reader)
