"""The audit log: who changed which object, with its state before and after.

Measurements (key usage counts, heartbeats, the bots' usage log) are not changes and leave no entry.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from core.actor import Actor
from core.audit_chain import entries, statements
from core.models import AuditEntry, AuditRedaction
from core.prepared_writes import insert_all

State = Mapping[str, Any]


def differ(before: Any, after: Any) -> bool:
    """Return whether two values differ as JSON, where 1, 1.0 and True are not equal as they are in Python."""
    return orjson.dumps(before) != orjson.dumps(after)


def record(
    *,
    actor: Actor,
    action: str,
    object_id: str,
    tenant_id: str | None,
    before: State | None = None,
    after: State | None = None,
    identity: Container[str] = (),
) -> None:
    """Write the audit entry of a change, inside its transaction. Raise RuntimeError outside of one.

    `action` is `<object type>.<verb>`. The states before and after are JSON-ready and contain no secrets. Of an
    update, only the keys that differ are stored, and those in `identity`, without which nobody could tell what was
    changed: `object_id` may be that of a larger object.
    """
    record_all(actor=actor, action=action, changes=[AuditChange(object_id, tenant_id, before, after, identity)])


class AuditChange(NamedTuple):
    """The states of one object before and after a change."""

    object_id: str
    tenant_id: str | None
    before: State | None = None
    after: State | None = None
    identity: Container[str] = ()  # keys that are stored even if they do not differ


def record_all(*, actor: Actor, action: str, changes: Iterable[AuditChange]) -> None:
    """Write the audit entries of the same change of many objects, in few statements."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError(f"audit row for {action} outside a transaction")
    insert_all([build_entry(actor, action, change, at=timezone.now()) for change in changes])


def redact(entry_id: int, changes: Mapping[str, Any], *, actor: Actor) -> None:
    """Replace the states of an entry, whose row is locked, by masked ones. The chain keeps the old digest.

    It is for a text that turned out to be secret after it was written, and for nothing else. An entry of its own proves
    that it was done.
    """
    digest = entries.stored_digest(entry_id)
    entry = AuditEntry.objects.get(pk=entry_id)
    for name, value in changes.items():
        setattr(entry, name, value)
    entry.signature = entries.signature_of(entry)
    QuerySet(AuditEntry).filter(pk=entry_id).update(**changes, signature=entry.signature)
    redaction, _is_new = AuditRedaction.objects.get_or_create(entry_id=entry_id, defaults={"digest": digest})
    proof = statements.redaction(entry_id, redaction.digest, entries.stored_digest(entry_id))
    record(actor=actor, tenant_id=entry.tenant_id, **proof._asdict())


def build_entry(actor: Actor, action: str, change: AuditChange, *, at: datetime) -> AuditEntry:
    """Return the signed entry of a change, for `record_all` and for bulk writes of a history."""
    before, after = change.before, change.after
    if before is not None and after is not None:
        kept = [key for key in after if key in change.identity or differ(before.get(key), after[key])]
        before, after = {k: before.get(k) for k in kept}, {k: after[k] for k in kept}
    entry = AuditEntry(
        at=at,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:150],
        action=action,
        object_type=action.partition(".")[0],
        object_id=change.object_id,
        tenant_id=change.tenant_id,
        before=before,
        after=after,
        request_id=actor.request_id,
        address=actor.address,
        token_id=None if actor.token is None else actor.token.id,
    )
    entry.signature = entries.signature_of(entry)
    return entry
