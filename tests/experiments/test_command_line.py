"""Whatever stands on the command line: a correct namespace, or a message and code 2."""

import argparse
import contextlib
import io
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

import fashion
from lab.program import positive

NUMBERS = ("--epochs", "--batch-size", "--seeds", "--num-processes")
OTHERS = ("--out", "--data-dir", "--coordinator", "--process-id")
FLAGS = ("--resume", "--redraw", "--tensorboard")

numbers = st.integers(-2, 2**70).map(str)
odd = st.sampled_from(
    ["", "0", "-1", "nan", "1e3", "٣", "1_0", "auto", "host:1", "--", "-x", "="]
)
words = numbers | odd | st.text(max_size=8)
options = st.sampled_from(NUMBERS + OTHERS + FLAGS)
token = options | words | st.builds("{}={}".format, options, words)
pair = st.tuples(st.sampled_from(NUMBERS + OTHERS), numbers | odd)
sensible = st.lists(pair | st.tuples(st.sampled_from(FLAGS)), max_size=8)


def parse(arguments):
    """(namespace or None, exit code or None, what was printed on stderr)."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
        try:
            return fashion.parse(arguments), None, errors.getvalue()
        except SystemExit as stop:
            return None, stop.code, errors.getvalue()


@settings(max_examples=1000)
@given(st.lists(token, max_size=8) | sensible.map(lambda pairs: sum(pairs, ())))
@example(["--epochs", "9" * 5000])
@example(["--epochs=--"])
@example(["--out", "\0"])
@example(["--seeds", "\ud800"])
@example(["--coordinator", "h:1", "--num-processes", "2", "--process-id", "-1"])
def test_any_arguments_are_understood_or_refused(arguments):
    args, code, errors = parse(list(arguments))
    if args is None:
        assert code == 2 or (code == 0 and {"-h", "--help"} & set(arguments))
        assert code == 0 or "error: " in errors
        return
    for name in ("epochs", "batch_size", "seeds"):
        value = getattr(args, name)
        assert type(value) is int
        assert 1 <= value < 2**31
    assert isinstance(args.out, Path)
    assert args.data_dir is None or isinstance(args.data_dir, Path)
    for name in ("resume", "redraw", "tensorboard"):
        assert getattr(args, name) is (f"--{name}" in arguments)
    if args.num_processes is None:
        assert args.process_id is None
        assert args.coordinator in (None, "auto")
    else:
        host, port = args.coordinator.rsplit(":", 1)
        assert host
        assert int(port) >= 0
        assert 0 <= args.process_id < args.num_processes


@given(*[st.integers(1, 2**31 - 1)] * 3)
def test_good_numbers_arrive(epochs, batch_size, seeds):
    arguments = ["--epochs", str(epochs), f"--batch-size={batch_size}"]
    args, _, _ = parse([*arguments, "--seeds", str(seeds)])
    assert (args.epochs, args.batch_size, args.seeds) == (epochs, batch_size, seeds)


too_little_or_much = st.integers(max_value=0) | st.integers(min_value=2**31)


@given(too_little_or_much | st.floats() | st.text().filter(lambda t: "-" in t))
def test_anything_but_a_number_from_one_is_refused(value):
    text = str(value)
    with pytest.raises(argparse.ArgumentTypeError, match="needs a whole number from 1"):
        positive(text)
    args, code, errors = parse([f"--epochs={text}"])
    assert (args, code) == (None, 2)
    assert "argument --epochs: " in errors


def test_help_teaches():
    _, code, printed = parse(["--help"])
    assert code == 0
    for words in ("--resume", "exit codes:", "Ctrl-C", "--coordinator HOST:PORT"):
        assert words in printed
