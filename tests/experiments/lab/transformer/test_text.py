"""The text, its batches and its windows."""

import hashlib
from pydoc_data.topics import topics

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lab.transformer.text import loader, read_text, windows


def test_the_parts_are_the_whole_text_in_its_order():
    text = read_text()
    whole = "".join(topics[name] for name in sorted(topics))
    characters = sorted(set(whole))
    parts = np.concatenate([text.learned, text.held_out])
    assert "".join(characters[number] for number in parts) == whole
    assert text.sha256 == hashlib.sha256(whole.encode()).hexdigest()
    assert text.vocabulary == len(characters)
    np.testing.assert_array_equal(text.learned[: len(text.first)], text.first)
    for part, share in ((text.first, 0.8), (text.second, 0.1), (text.held_out, 0.1)):
        assert abs(len(part) - share * len(whole)) <= 1


@given(length=st.integers(2, 50), context=st.integers(1, 12))
def test_each_character_but_the_first_is_scored_once(length, context):
    tokens = np.arange(length, dtype=np.uint8)
    rows, counted = windows(tokens, context)
    assert rows.shape == (len(counted), context + 1)
    assert sorted(rows[:, 1:][counted]) == list(range(1, length))
    np.testing.assert_array_equal(
        rows[:, :-1][counted] + 1, rows[:, 1:][counted]
    )  # what comes before a target is its input


def test_batches_are_stretches_of_the_text_and_the_seed_s():
    tokens = np.arange(100, dtype=np.uint8)
    batches = loader(tokens, 7, 4, seed=3)
    first = [batches[i] for i in range(30)]
    for batch in first:
        assert batch.shape == (4, 8)
        np.testing.assert_array_equal(batch, batch[:, :1] + np.arange(8))
    # 23 batches of 4 see all but one of the 93 places, each once
    starts = np.concatenate(first[:23])[:, 0]
    assert len(np.unique(starts)) == 92
    again = iter(loader(tokens, 7, 4, seed=3))
    for batch in first:
        np.testing.assert_array_equal(next(again), batch)
    assert not np.array_equal(loader(tokens, 7, 4, seed=4)[0], first[0])
