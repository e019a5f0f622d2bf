"""The options that the programs have in common."""

import argparse
from pathlib import Path


def add_common(parser: argparse.ArgumentParser, out: Path) -> None:
    """Adds --out, --data-dir, --resume and --redraw."""
    parser.add_argument(
        "--out",
        type=Path,
        default=out,
        metavar="DIR",
        help=f"where results and checkpoints go (default {out})",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="the only place to look for the data; default: wherever it is found",
    )
    parser.add_argument("--resume", action="store_true", help="go on where it stopped")
    parser.add_argument("--redraw", action="store_true", help="draw without training")


def parsed(
    parser: argparse.ArgumentParser, argv: list[str] | None
) -> argparse.Namespace:
    """The arguments; exits with 2 where argparse would let a missing value pass."""
    args = parser.parse_args(argv)
    for name, value in vars(args).items():
        if value == []:  # what argparse makes of --epochs=--
            parser.error(f"argument --{name.replace('_', '-')}: expected a value")
    return args


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number >= 1, got {text}")
    return value
