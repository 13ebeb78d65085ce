"""What a column of an old database holds. The old systems checked little, and SQLite nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core import strict_json

Row = Mapping[str, Any]


class Unreadable(ValueError):
    """The column holds something else than it should; the text says what is wrong with it."""


def text(value: Any) -> str | None:
    """A text that any database can store; None for none."""
    return None if value is None else str(value).replace("\x00", "")


def flag(value: Any) -> bool:
    """Whether it is set: 0 and 1, or as SQLite may hold them, in words."""
    return str(value).strip().lower() not in ("0", "0.0", "false", "none", "")


def number(value: Any) -> int:
    """A whole number that is not negative. Raises Unreadable."""
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Unreadable(f"{_quoted(value)} is not a number") from error
    if not 0 <= found <= strict_json.MAX_INTEGER:
        raise Unreadable(f"{found} is out of range")
    return found


def moment(value: Any) -> datetime | None:
    """An aware time; a naive one is UTC, as the old systems meant it. Raises Unreadable."""
    if value is None or value == "":
        return None
    try:
        found = datetime.fromisoformat(str(value).strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Unreadable(f"{_quoted(value)} is not a time") from error


def document(value: Any) -> Any:
    """A JSON value; None for none. Raises Unreadable."""
    if value is None or value == "":
        return None
    try:
        return strict_json.loads(str(value).encode("utf-8", "surrogatepass"))
    except strict_json.NotAcceptable as error:
        raise Unreadable(str(error)) from error


def _quoted(value: Any) -> str:
    return ascii(str(value)[:60])
