"""The text that every Python has, as numbers: its parts, batches and windows."""

import hashlib
from pydoc_data.topics import topics
from typing import NamedTuple

import grain
import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.uint8]


class Text(NamedTuple):
    """Characters as numbers below `vocabulary`, in parts; the SHA-256 is of UTF-8.

    Choices are made on what is learned from `first` and scored on `second`; final runs
    learn from `learned`, which is both, and are scored on `held_out`.
    """

    first: Tokens
    second: Tokens
    held_out: Tokens
    vocabulary: int
    sha256: str

    @property
    def learned(self) -> Tokens:
        """All but the held-out part."""
        return np.concatenate([self.first, self.second])


def read_text() -> Text:
    """All topics in alphabetical order: eight tenths, a tenth and a tenth."""
    text = "".join(topics[name] for name in sorted(topics))
    characters = sorted(set(text))
    numbers = {character: number for number, character in enumerate(characters)}
    tokens = np.array([numbers[character] for character in text], np.uint8)
    first, second, held_out = np.split(tokens, [len(tokens) * k // 10 for k in (8, 9)])
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Text(first, second, held_out, len(characters), digest)


def loader(
    tokens: Tokens, context: int, batch_size: int, seed: int
) -> grain.MapDataset[Tokens]:
    """Batches of (context + 1) characters from all places, in an order of the seed."""
    places = grain.MapDataset.range(len(tokens) - context).seed(seed).shuffle()
    texts = places.repeat().map(lambda place: tokens[place : place + context + 1])
    return texts.batch(batch_size)


def windows(tokens: Tokens, context: int) -> tuple[Tokens, NDArray[np.bool_]]:
    """Rows of (context + 1), and which of their targets count.

    Each row begins with the last character of the one before, so that every character
    but the first is a target once.
    """
    starts = np.arange(0, len(tokens) - 1, context)[:, None]
    places = starts + np.arange(context + 1)
    counted = places[:, 1:] < len(tokens)
    return tokens[np.minimum(places, len(tokens) - 1)], counted
