"""Words that an argument may be, and how short an error shows a value."""

from typing import get_args

import pytest

from clr_core._words import Mode, short_repr, word_of


def test_long_values_are_cut():
    assert short_repr(0.5) == "0.5"
    for long in ("x" * 1000, list(range(1000)), 10**1000, object):
        assert len(short_repr(long)) <= 80


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("triangle", r"got mode='triangle', did you mean 'triangular'\?$"),
        ("sine", r"got mode='sine', see help for what each does\.$"),
        ("x" * 1000, r"got mode='x{1,40}\.\.\.x{1,40}', see help"),
    ],
)
def test_near_words_are_suggested(word, message):
    words = "'triangular' or 'triangular2' or 'exp_range'"
    with pytest.raises(ValueError, match=f"^clr needs mode {words}, {message}"):
        word_of("clr", "mode", word, Mode)


def test_what_is_no_text_is_shown():
    text = r"^clr needs mode as text, got mode=3, such as 'triangular'\.$"
    with pytest.raises(TypeError, match=text):
        word_of("clr", "mode", 3, Mode)


@pytest.mark.parametrize("word", get_args(Mode))
def test_the_words_themselves_pass(word):
    word_of("clr", "mode", word, Mode)
