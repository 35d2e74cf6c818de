"""Words through the network: by every input as the network itself would, mirrored, in batches and in noise."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data.lips.mouths import change_mouths
from data.lips.words import WordSamples
from data.store import ClipStore
from evaluation.noise import CLEAN, SPEECH_ALONE
from evaluation.reading.noise import RATIOS, WHITE, noisy_sounds
from evaluation.reading.read import INPUTS, TOP, WordReader, names_of, places_of
from models.reading.reader import LipReader
from tests.synthetic import make_lrw_store, make_store
from utils.errors import UserError

CLASSES = ["ABOUT", "BEING", "CASES", "DARK", "EARLY", "FIGHT"]
SMALL = dict(size=32, view=0.7, front=4, hearing=4, width=16, slots=8)


def network(**options) -> LipReader:
    """Random weights whose words differ"""
    torch.manual_seed(0)
    model = LipReader(options.pop("classes", CLASSES), **SMALL | options).eval()
    with torch.no_grad():
        model.backend.out.weight.mul_(30)
    return model


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    return ClipStore(make_lrw_store(tmp_path_factory.mktemp("lrw") / "store"))


def sample(store: ClipStore, ids: list[str]) -> dict[str, torch.Tensor]:
    samples = WordSamples(store, ids, CLASSES, 32, 0.7, seed=0, augment=False)
    batch = [samples.whole(id) for id in ids]
    return {name: torch.stack([one[name] for one in batch]) for name in batch[0]}


def test_places():
    logits = torch.tensor([[0.0, 3, 2, 3], [1, 1, 1, 1]])
    assert places_of(logits, torch.tensor([2, 3])).tolist() == [3, 4]
    assert places_of(logits, torch.tensor([3, 0])).tolist() == [2, 1]


@pytest.mark.parametrize("options", [{}, dict(boundary=True, heads=2), dict(backend="MSTCN")])
@torch.no_grad()
def test_every_input_is_the_networks_own(store, options):
    model, ids = network(**options), [store.ids[0], store.ids[7]]
    batch = sample(store, ids)
    boundary = batch["boundary"] if options.get("boundary") else None
    reading = model(change_mouths(batch["mouths"], None), batch["mel"], boundary)
    expected = dict(video=reading.recalled, both=reading.heard, audio=model.listen(batch["mel"], boundary))
    for by in INPUTS:
        for n, one in enumerate(WordReader(model, CLASSES, by).read(store, ids)):
            logits = expected[by][n]
            assert one.word == batch["label"][n] and one.top == tuple(logits.topk(TOP).indices.tolist())
            assert one.sure == pytest.approx(float(logits.softmax(0).max()), abs=1e-5)
            assert one.place == int((logits > logits[one.word]).sum()) + 1
            torch.testing.assert_close(one.addresses.seen, reading.addresses.seen[n])
            torch.testing.assert_close(one.addresses.heard, reading.addresses.heard[n])


@torch.no_grad()
def test_mirroring_adds_logits(store):
    model, ids = network(), [store.ids[0]]
    mouths = change_mouths(sample(store, ids)["mouths"], None)
    logits = model(mouths).recalled + model(mouths.flip(-1)).recalled
    reader = WordReader(model, CLASSES, mirrored=True)
    batch = {name: one for name, one in sample(store, ids).items() if name != "label"}
    torch.testing.assert_close(reader.logits(batch)[0], logits)
    flipped = batch | dict(mouths=batch["mouths"].flip(-1))
    torch.testing.assert_close(reader.logits(flipped)[0], logits)
    assert not torch.allclose(WordReader(model, CLASSES).logits(flipped)[0], model(mouths).recalled)


def test_a_network_without_memory_sees(store):
    [one] = WordReader(network(memory=False), CLASSES).read(store, store.ids[:1])
    assert one.addresses is None and 1 <= one.place <= len(CLASSES)


@torch.no_grad()
def test_without_noise_the_noise_table_is_the_inputs(store):
    model, ids = network(), store.ids[:3]
    alone = {by: [one.place for one in WordReader(model, CLASSES, by).read(store, ids)] for by in INPUTS}
    recordings = dict(pink=[np.random.default_rng(0).normal(size=40000).astype(np.float32)])
    read = WordReader(model, CLASSES, noisy=True, recordings=recordings).read(store, ids)
    for by in INPUTS:
        assert [one.places[by, SPEECH_ALONE, CLEAN] for one in read] == alone[by]
    conditions = {
        (by, kind, ratio) for by in ("audio", "both") for kind in ("pink", WHITE) for ratio in RATIOS
    }
    assert set(read[0].places) == conditions | {(by, SPEECH_ALONE, CLEAN) for by in INPUTS}


def test_noise_is_as_loud_as_it_says_and_the_same_again(store):
    audio = store[store.ids[0]].audio
    recordings = dict(pink=[np.random.default_rng(0).normal(size=40000).astype(np.float32)])
    sounds, again = (noisy_sounds(audio, "A/test/1", recordings) for _ in range(2))
    assert next(iter(sounds)) == (SPEECH_ALONE, CLEAN) and len(sounds) == 1 + 2 * len(RATIOS)
    for (kind, ratio), sound in sounds.items():
        np.testing.assert_array_equal(sound, again[kind, ratio])
        if ratio != CLEAN:
            power = np.square(audio, dtype=float).mean() / np.square(sound - audio, dtype=float).mean()
            assert 10 * np.log10(power) == pytest.approx(ratio, abs=0.2)
    other = noisy_sounds(audio, "A/test/2", recordings)
    assert not np.array_equal(other[WHITE, 0], sounds[WHITE, 0])


def test_classes_that_are_numbers_are_the_stores_words(store):
    numbered = network(classes=["0", "1", "2"])
    assert names_of(numbered, store, Path("w")) == ["ABOUT", "BEING", "CASES"]
    assert names_of(network(), store, Path("w")) == CLASSES
    with pytest.raises(UserError, match=r"w: its 4 classes have no names, and .* has 3 words"):
        names_of(network(classes=list("0123")), store, Path("w"))


def test_other_stores_and_words(store, tmp_path):
    with pytest.raises(UserError, match="CASES is none of the network's 2 words"):
        WordReader(network(classes=CLASSES[:2]), CLASSES[:2]).read(store, store.ids)
    grid = ClipStore(make_store(tmp_path / "grid.h5", clips=2, size=32))
    with pytest.raises(UserError, match="holds no words"):
        names_of(network(), grid, Path("w"))
