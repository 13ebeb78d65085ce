"""The audit log in files: JSON Lines, and CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from core import audit
from core.actor import Actor
from core.db import transactional
from core.http.responses import utc_text
from core.models import AuditEntry
from core.scrubbing import scrubbed

# Characters of the filters that are kept in the entry about an export.
_FILTER_LENGTH = 300
# The columns, with the value of each. Operators see who acted, whoever it was.
_COLUMNS: dict[str, Callable[[AuditEntry], Any]] = {
    "id": lambda entry: entry.pk,
    "at": lambda entry: utc_text(entry.at),
    "actor_kind": lambda entry: entry.actor_kind,
    "actor_id": lambda entry: entry.actor_id,
    "actor_name": lambda entry: entry.actor_label or None,
    "address": lambda entry: entry.address or None,
    "token_id": lambda entry: entry.token_id,
    "action": lambda entry: entry.action,
    "object_id": lambda entry: entry.object_id,
    "tenant_id": lambda entry: entry.tenant_id,
    "before": lambda entry: entry.before,
    "after": lambda entry: entry.after,
    "request_id": lambda entry: entry.request_id or None,
}
# Characters with which a formula begins in a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def document(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry as a JSON object."""
    return {name: value_of(entry) for name, value_of in _COLUMNS.items()}


def json_line(entry: AuditEntry) -> str:
    """Return an entry as a line of JSON Lines."""
    return json.dumps(document(entry)) + "\n"


@transactional
def record_export(*, actor: Actor, file_format: str, filters: Mapping[str, Any], entries: int) -> None:
    """Write the audit entry of an export, with the filters and the number of entries that they found."""
    chosen = "&".join(f"{name}={value}" for name, value in filters.items())
    after = {"format": file_format, "filter": scrubbed(chosen)[:_FILTER_LENGTH], "entries": entries}
    audit.record(actor=actor, action="audit.export", object_id="audit", tenant_id=None, after=after)


def json_lines(entries: Iterable[AuditEntry]) -> str:
    """Return the entries as JSON Lines."""
    return "".join(map(json_line, entries))


def csv_text(entries: Iterable[AuditEntry]) -> str:
    """Return the entries as CSV with a header, in which no cell is a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(value) for value in document(entry).values()] for entry in entries)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a value as CSV has it, with an apostrophe before what a spreadsheet would take for a formula."""
    cell = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
