"""Parsers for the columns of an old database. The old systems validated little, and SQLite types nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core import strict_json

Row = Mapping[str, Any]


class UnreadableValue(ValueError):
    """A column does not hold a value of its type. The message says what is wrong with it."""


def parse_text(value: Any) -> str | None:
    """Return a text that any database can store, or None for NULL."""
    return None if value is None else str(value).replace("\x00", "")


def parse_bool(value: Any) -> bool:
    """Return whether a flag is set. SQLite may hold it as a number or as a word."""
    return str(value).strip().lower() not in ("0", "0.0", "false", "none", "")


def parse_count(value: Any) -> int:
    """Return an integer that is not negative. Raise UnreadableValue."""
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnreadableValue(f"{_quoted(value)} is not a number") from error
    if not 0 <= count <= strict_json.MAX_INTEGER:
        raise UnreadableValue(f"{count} is out of range")
    return count


def parse_datetime(value: Any) -> datetime | None:
    """Return an aware time, or None for an empty column. Raise UnreadableValue.

    A naive time is UTC, because the old systems wrote UTC.
    """
    if value is None or value == "":
        return None
    try:
        parsed = datetime.fromisoformat(str(value).strip())
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnreadableValue(f"{_quoted(value)} is not a time") from error


def parse_json(value: Any) -> Any:
    """Return a JSON value, or None for an empty column. Raise UnreadableValue."""
    if value is None or value == "":
        return None
    try:
        return strict_json.loads(str(value).encode("utf-8", "surrogatepass"))
    except strict_json.NotAcceptable as error:
        raise UnreadableValue(str(error)) from error


def _quoted(value: Any) -> str:
    return repr(str(value)[:60])
