"""The canonical form of an audit entry, and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django.db import connection
from django.db.models import QuerySet

from core.audit_chain import signing, statements
from core.audit_chain.signing import Check
from core.audit_chain.statements import Statement
from core.fields import stored_time
from core.models import AuditEntry, AuditRedaction
from core.prepared import prepared_sql

PAGE = 1000

# All columns but the id, which the database gives a row after it is signed: blocks bind the two. A column that is
# added later needs a signature of another form, because those of entries that exist do not cover it: `token_id` is
# signed only where it is set, so that an entry without one has the former signature.
SIGNED = (
    *("at", "actor_kind", "actor_id", "actor_label", "action", "object_type", "object_id", "tenant_id"),
    *("before", "after", "request_id", "address"),
    "token_id",
)

_FIELDS: dict[str, Any] = {name: AuditEntry._meta.get_field(name) for name in SIGNED}


class Entry(NamedTuple):
    """An entry as it is stored, with what is checked of it."""

    id: int
    at: str
    check: Check
    key_id: int
    # SHA-256 of columns and signature; of an entry that was redacted, the one from before.
    digest: bytes
    # What the entry proves, if anything, and what has to be proved by another one.
    proves: Statement | None
    needs: Statement | None = None


def signature_of(entry: AuditEntry) -> str:
    """Return the signature of an entry that is to be written."""
    return signing.sign(_message([_stored(entry, name) for name in SIGNED]))


def read_after(after: int, *, limit: int = PAGE) -> list[Entry]:
    """Return the entries with greater ids, in the order of their ids."""
    return _with_redactions(_fetch(_select_after(limit), [after]))


def read_between(ranges: Sequence[tuple[int, int]]) -> list[Entry]:
    """Return the entries with ids in these ranges, in the order of their ids."""
    bounds = [bound for both in ranges for bound in both]
    return _with_redactions(_fetch(_select_between(len(ranges)), bounds)) if ranges else []


def read_all(up_to: int) -> Iterator[Entry]:
    """Yield the entries with ids up to one, page by page. Ids below 1 are for intruders alone."""
    after = -(2**63)
    while page := read_after(after):
        for entry in page:
            if entry.id > up_to:
                return
            yield entry
        after = page[-1].id


def stored_digest(entry_id: int) -> str:
    """Return the digest of one entry as it is stored now, without a redaction."""
    (row,) = _fetch(_select_between(1), [entry_id, entry_id])
    return _read(row).digest.hex()


def _message(values: Sequence[Any]) -> bytes:
    """Return what is signed of an entry: the values of SIGNED. Its length tells whether it has a `token_id`."""
    *former, token_id = values
    return signing.message("audit entry", *former, *([] if token_id is None else [token_id]))


def _stored(entry: AuditEntry, name: str) -> Any:
    value = getattr(entry, name)
    return stored_time(value) if isinstance(value, datetime) else _FIELDS[name].get_prep_value(value)


def _fetch(sql: str, params: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return rows as they are stored, with JSON as text."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


@prepared_sql
def _select_after(limit: int) -> QuerySet[AuditEntry, Any]:
    return _columns(AuditEntry.objects.filter(id__gt=0))[:limit]


@prepared_sql
def _select_between(number: int) -> QuerySet[AuditEntry, Any]:
    rows = AuditEntry.objects.none()
    for _ in range(number):
        rows |= AuditEntry.objects.filter(id__gte=0, id__lte=0)
    return _columns(rows)


def _columns(rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry, Any]:
    return rows.order_by("id").values_list("id", "signature", *SIGNED)


def _read(row: tuple[Any, ...]) -> Entry:
    entry_id, signature, at, *others = row
    text = _message([str(at), *others])
    return Entry(
        entry_id,
        str(at),
        signing.check(text, signature),
        signing.key_of(signature),
        hashlib.sha256(text + (signature or "").encode()).digest(),
        _statement(dict(zip(SIGNED[1:], others, strict=True))) if others[_ACTION] in _PROVING else None,
    )


_ACTION = SIGNED.index("action") - 1
_PROVING = frozenset({statements.REDACT, statements.REMOVE})


def _statement(values: dict[str, Any]) -> Statement | None:
    try:
        return Statement(values["action"], values["object_id"], orjson.loads(values["after"] or "null"))
    except orjson.JSONDecodeError:
        return None  # of an entry that was edited


def _with_redactions(rows: list[tuple[Any, ...]]) -> list[Entry]:
    if not rows:
        return []
    near = AuditRedaction.objects.filter(entry_id__gte=rows[0][0], entry_id__lte=rows[-1][0])
    digests = dict(near.values_list("entry_id", "digest"))
    return [_redacted(_read(row), digests[row[0]]) if row[0] in digests else _read(row) for row in rows]


def _redacted(entry: Entry, digest: str) -> Entry:
    """Return an entry that was redacted, with the digest from before, which a statement has to prove."""
    proof = statements.redaction(entry.id, digest, entry.digest.hex())
    try:
        return entry._replace(digest=bytes.fromhex(digest), needs=proof)
    except ValueError:
        return entry  # and the digest was edited
