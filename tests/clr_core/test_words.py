"""The form of every refusal."""

import pytest

from clr_core._words import Mode, check_word, refusal


def test_refusal_names_function_rule_value_and_hint():
    text = refusal("clr_schedule", "step_size >= 1", "round it", step_size=0)
    assert text == "clr_schedule needs step_size >= 1, got step_size=0, round it."
    assert refusal("clr", "a rate", lr=1, max_lr=2) == (
        "clr needs a rate, got lr=1, max_lr=2."
    )


def test_long_values_are_cut():
    assert len(refusal("clr", "a rate", lr="x" * 1000)) < 120
    text = refusal("clr", "a rate", "add one", got=0)
    assert text == "clr needs a rate, got 0, add one."


def test_near_words_are_suggested():
    with pytest.raises(
        ValueError, match=r"mode='triangle', did you mean 'triangular'\?$"
    ):
        check_word("clr", "mode", "triangle", Mode)
    with pytest.raises(
        ValueError, match=r"mode='sine', see help for what each does\.$"
    ):
        check_word("clr", "mode", "sine", Mode)
    with pytest.raises(
        TypeError, match=r"^clr needs mode as text, got mode=3, such as"
    ):
        check_word("clr", "mode", 3, Mode)


@pytest.mark.parametrize("word", ["triangular", "triangular2", "exp_range"])
def test_known_words_pass(word):
    check_word("clr", "mode", word, Mode)
