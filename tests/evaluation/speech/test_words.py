"""Words in one spelling, GRID's sentences, and counting errors."""

import pytest

from evaluation.speech.words import is_grid, word_errors, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Bin blue at F2, now.", "bin blue at f two now"),
        ("Lay red by B. 0, please!", "lay red by b zero please"),
        ("It's 10\n", "its one zero"),
        ("", ""),
        (" ... ", ""),
    ],
)
def test_spelling(text, words):
    assert words_of(text) == words.split()


@pytest.mark.parametrize(
    ("sentence", "right"),
    [
        ("bin blue at l eight please", True),
        ("set white with z zero again", True),
        ("bin blue at w eight please", False),  # GRID has no w
        ("bin blue at l ten please", False),
        ("bin blue at l eight", False),
        ("bin blue at l eight please please", False),
        ("blue bin at l eight please", False),
        ("", False),
    ],
)
def test_only_grids_sentences_are_grids(sentence, right):
    assert is_grid(sentence.split()) == right


@pytest.mark.parametrize(
    ("heard", "said", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a c", "a b c", 1),
        ("a b x c", "a b c", 1),
        ("a x c", "a b c", 1),
        ("", "a b c", 3),
        ("a b c", "", 3),
        ("b c a", "a b c", 2),
        ("x a b c", "a b d", 2),
    ],
)
def test_word_errors(heard, said, errors):
    assert word_errors(heard.split(), said.split()) == word_errors(said.split(), heard.split()) == errors
