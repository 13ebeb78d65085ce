"""Aligned text for people at a terminal."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under a header, each column as wide as what is in it."""
    lines = [list(header), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(padded, line, widths)).rstrip() for line in lines)


def record(members: Sequence[tuple[str, Any]]) -> str:
    """One thing, a line for each of its members."""
    widest = max(width(name) for name, _value in members)
    return "\n".join(f"{padded(name, widest)}  {cell(value)}" for name, value in members)


def document(value: Any) -> str:
    """One JSON document for programs; ASCII, so that no terminal or encoding can do it harm."""
    return json.dumps(value, indent=2)


def cell(value: Any) -> str:
    """A value in one line, and without what would move a terminal's cursor: tenants choose names."""
    if value is None or value == "":
        return "-"
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(value))


def width(text: str) -> int:
    """The columns that a text takes at a terminal: two for a wide character, none for a combining one."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def padded(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))
