"""Transcripts as classes and back."""

from utils.letters import CLASSES, to_classes, to_text


def test_there_and_back():
    text = "bin blue at l eight please"
    classes = to_classes(text)
    assert len(classes) == len(text) and max(classes) < CLASSES and min(classes) > 0
    with_blanks = [one for letter in classes for one in (letter, letter, 0)]
    assert to_text(with_blanks) == text
    assert to_text(classes) == text.replace("tt", "t")


def test_a_blank_between_keeps_a_double_letter():
    (letter,) = to_classes("l")
    assert to_text([letter, letter, 0, letter, 0, 0]) == "ll"
    assert to_text([0, 0]) == "" == to_text([])


def test_what_is_no_letter_separates():
    assert to_text(to_classes("Don't -- STOP,  now!")) == "dont stop now"
    assert to_classes("123 !") == []
