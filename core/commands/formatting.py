"""Output of commands: aligned text for people, JSON for programs."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from core.http.responses import utc_text
from core.limits import Period


def format_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows under a header, with each column as wide as its widest value."""
    lines = [list(header), *([format_value(value) for value in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(pad, line, widths)).rstrip() for line in lines)


def format_record(members: Sequence[tuple[str, Any]]) -> str:
    """Return one object, with a line for each of its members."""
    widest = max(width(name) for name, _value in members)
    return "\n".join(f"{pad(name, widest)}  {format_value(value)}" for name, value in members)


def format_json(value: Any) -> str:
    """Return a JSON document for programs. It is ASCII, so that it survives every terminal and encoding."""
    return json.dumps(value, indent=2)


def format_value(value: Any) -> str:
    """Return a value in one line, with escapes for control characters, because tenants choose names."""
    if value is None or value == "":
        return "-"
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(value))


def width(text: str) -> int:
    """Return the columns that a text takes at a terminal: two for a wide character, none for a combining one."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def pad(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def time_text(moment: datetime | None) -> str | None:
    """Return a time to the second, as the API writes it."""
    return None if moment is None else utc_text(moment.replace(microsecond=0))


def rate_limit_text(rate_limit: Mapping[str, Any] | None) -> str | None:
    """Return a rate limit in words."""
    return None if rate_limit is None else f"{rate_limit['limit']} in {rate_limit['window_seconds']} s"


def quota_text(quota: Mapping[str, Any] | None) -> str | None:
    """Return a quota in words."""
    if quota is None:
        return None
    period = "in all" if quota["period"] == Period.TOTAL else f"a {quota['period']}"
    return f"{quota['limit']} {period}"
