"""Entries that prove what was rightly done to the audit log: they are signed and chained like all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

REDACT, REMOVE = "audit.redact", "audit.remove"


class Statement(NamedTuple):
    """The part of an entry that proves something."""

    action: str
    object_id: str
    after: Mapping[str, Any]


def redaction(entry_id: int, before: str, after: str) -> Statement:
    """Return what proves that an entry was masked, by its digests before and after."""
    return Statement(REDACT, str(entry_id), {"before": before, "after": after})


def removal(block: int, keys: Mapping[str, str]) -> Statement:
    """Return what proves that all entries up to a block were deleted because of their age."""
    return Statement(REMOVE, str(block), {"keys": dict(keys)})
