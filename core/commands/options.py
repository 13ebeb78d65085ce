"""Options shared by several commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add `--json`, for programs that read the output."""
    parser.add_argument("--json", action="store_true", help="write one JSON document")


def integer_between(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `least` to `most`."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not least <= int(text[:20]) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return number
