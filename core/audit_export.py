"""The audit log in files: JSON Lines, and CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from core.http.responses import utc_text
from core.models import AuditEntry

_COLUMNS = (
    "id", "at", "actor_kind", "actor_id", "actor_name", "address", "token_id", "action", "object_id", "tenant_id",
    "before", "after", "request_id",
)  # fmt: skip
# With which a spreadsheet begins a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def document(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry as a JSON object. Operators see who acted, whoever it was."""
    return {
        "id": entry.pk,
        "at": utc_text(entry.at),
        "actor_kind": entry.actor_kind,
        "actor_id": entry.actor_id,
        "actor_name": entry.actor_label or None,
        "address": entry.address or None,
        "token_id": entry.token_id,
        "action": entry.action,
        "object_id": entry.object_id,
        "tenant_id": entry.tenant_id,
        "before": entry.before,
        "after": entry.after,
        "request_id": entry.request_id or None,
    }


def json_lines(entries: Iterable[AuditEntry]) -> str:
    """Return the entries as JSON objects, one a line."""
    return "".join(json.dumps(document(entry)) + "\n" for entry in entries)


def csv_text(entries: Iterable[AuditEntry]) -> str:
    """Return the entries as CSV with a header, in which no cell is a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows(_cells(document(entry)) for entry in entries)
    return text.getvalue()


def _cells(found: dict[str, Any]) -> Sequence[Any]:
    cells = [json.dumps(each, ensure_ascii=False) if isinstance(each, dict) else each for each in found.values()]
    return [f"'{each}" if isinstance(each, str) and each.startswith(_FORMULA) else each for each in cells]
