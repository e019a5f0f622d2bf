"""The words that an argument may be, and how an error shows what it was instead."""

import difflib
import reprlib
from typing import Any, Literal

Mode = Literal["triangular", "triangular2", "exp_range"]
ScaleMode = Literal["cycle", "iterations"]
Anneal = Literal["linear", "cosine"]
Rule = Literal["valley", "slide", "steep", "minimum", "smith", "limit"]

_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 80


def short_repr(value: object) -> str:
    """Returns a value's repr, cut to some 80 characters: for the text of an error."""
    return _SHORT.repr(value)


def word_of(function: str, name: str, value: object, words: Any) -> Any:
    """Returns the word of a Literal that a value is, which may be text of any class.

    Raises:
        TypeError: it is no text.
        ValueError: it is none of the words.
    """
    legal = words.__args__
    if not isinstance(value, str):
        raise TypeError(
            f"{function} needs {name} as text, got {name}={short_repr(value)}, "
            f"such as {legal[0]!r}."
        )
    if value not in legal:
        near = difflib.get_close_matches(value, legal, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see help for what each does."
        raise ValueError(
            f"{function} needs {name} {' or '.join(map(repr, legal))}, "
            f"got {name}={short_repr(value)}, {hint}"
        )
    return legal[legal.index(value)]
