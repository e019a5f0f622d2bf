"""The words that arguments may be, and how both packages refuse the rest."""

import difflib
import reprlib
from typing import Any, Literal

Mode = Literal["triangular", "triangular2", "exp_range"]
ScaleMode = Literal["cycle", "iterations"]
Anneal = Literal["linear", "cosine"]
Spacing = Literal["exponential", "linear"]
Rule = Literal["valley", "slide", "steep", "minimum", "smith"]

_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 80


def refusal(function: str, rule: str, hint: str = "", /, **got: Any) -> str:
    """Returns the text "function needs rule, got name=value, hint."."""
    shown = ", ".join(f"{name}={_SHORT.repr(value)}" for name, value in got.items())
    parts = (f"{function} needs {rule}", shown and f"got {shown}", hint)
    text = ", ".join(part for part in parts if part)
    return text if text.endswith("?") else f"{text}."


def check_word(function: str, name: str, value: object, words: Any) -> None:
    """Raises TypeError for what is no text, ValueError for what is not in a Literal."""
    known, got = words.__args__, {name: value}
    if not isinstance(value, str):
        rule, hint = f"{name} as text", f"such as {known[0]!r}"
        raise TypeError(refusal(function, rule, hint, **got))
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see help for what each does"
        rule = f"{name} {' or '.join(map(repr, known))}"
        raise ValueError(refusal(function, rule, hint, **got))
