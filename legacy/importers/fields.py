"""Fields that several importers read in the same way. What cannot be kept is reported."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import models

from core.fields import DOT_SEGMENTS, ID_LENGTH
from legacy.parsing import Row, UnreadableValue, parse_datetime, parse_json, parse_text
from legacy.reports import Notes, Reason

# The old services accepted one request of this size, and the old MySQL columns held a sixteenth of it.
MAX_TEXT_LENGTH = 1024 * 1024
# In place of a creation time that cannot be read.
UNKNOWN_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def is_valid_id(object_id: Any) -> bool:
    fits = isinstance(object_id, str) and 0 < len(object_id) <= ID_LENGTH and object_id.strip() == object_id
    return fits and object_id not in DOT_SEGMENTS


def check_id(object_id: Any, notes: Notes) -> bool:
    """Return whether an id is valid. Refuse the object if it is not."""
    if is_valid_id(object_id):
        return True
    notes.refuse(Reason.BAD_ID, "an id has 1 to 50 characters, and is not . or .., which no URL can have")
    return False


def read_time(row: Row, column: str, notes: Notes) -> datetime:
    """Return a time, or UNKNOWN_TIME if it cannot be read."""
    try:
        time = parse_datetime(row.get(column))
    except UnreadableValue as error:
        notes.add(Reason.BAD_TIME, f"{column}: {error}")
        time = None
    return time or UNKNOWN_TIME


def read_text(row: Row, column: str, notes: Notes) -> str | None:
    """Return a text, cut to the length that a statement can carry."""
    text = parse_text(row.get(column))
    if text is not None and len(text) > MAX_TEXT_LENGTH:
        notes.add(Reason.CHANGED_TEXT, f"{column} was longer than {MAX_TEXT_LENGTH} characters, and was cut")
        return text[:MAX_TEXT_LENGTH]
    return text


def read_json(row: Row, column: str, notes: Notes) -> Any:
    """Return a JSON value, or None if it cannot be read or is longer than a statement can carry."""
    if len(str(row.get(column) or "")) > MAX_TEXT_LENGTH:
        notes.add(Reason.BAD_JSON, f"{column}: longer than {MAX_TEXT_LENGTH} characters")
        return None
    try:
        return parse_json(row.get(column))
    except UnreadableValue as error:
        notes.add(Reason.BAD_JSON, f"{column}: {error}")
        return None


def read_status(row: Row, known: type[models.TextChoices], default: models.TextChoices, notes: Notes) -> str:
    """Return a known status, or `default`, which lets nobody in.

    The old services compared exactly: `ACTIVE` was not active.
    """
    value = str(row.get("status") or "")
    if value in known.values:
        return value
    normalized = value.strip().lower()
    status = normalized if normalized in known.values and normalized != "active" else str(default.value)
    notes.add(Reason.BAD_STATUS, f"{value[:30]!r} is not a known status; it is now {status}")
    return status
