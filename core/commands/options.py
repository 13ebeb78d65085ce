"""Options that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add_json(parser: argparse._ActionsContainer) -> None:
    """Output for programs."""
    parser.add_argument("--json", action="store_true", help="write one JSON document")


def whole(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number between two others."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not least <= int(text[:20]) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return number
