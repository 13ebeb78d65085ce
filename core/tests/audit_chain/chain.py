"""Entries and blocks of an audit chain, and the tampering with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from core import audit
from core.audit_chain import verification
from core.audit_chain.chainer import Chainer
from core.audit_chain.findings import Report
from core.models import AuditBlock, AuditEntry
from tests.support.people import OPERATOR

OLD_KEYS, NEW_KEYS = {1: "o" * 40}, {2: "n" * 40, 1: "o" * 40}
DAY = timedelta(days=1)


def write(number: int = 1, **values: Any) -> list[int]:
    """Write entries, and return their ids."""
    change = {"actor": OPERATOR, "action": "agent.update", "object_id": "agent_1", "tenant_id": None, **values}
    with transaction.atomic():
        for _ in range(number):
            audit.record(**change)
    return sorted(AuditEntry.objects.order_by("-id").values_list("id", flat=True)[:number])


def chain(number: int = 5) -> list[int]:
    """Write entries, and add them to the chain as one block."""
    ids = write(number)
    assert Chainer().chain_all() >= number
    return ids


def rows(*ids: int) -> QuerySet[AuditEntry]:
    """Return entries as whoever can write to the database sees them."""
    return QuerySet(AuditEntry).filter(id__in=ids)


def chain_blocks(number: int | None = None) -> QuerySet[AuditBlock]:
    return QuerySet(AuditBlock).filter(**{} if number is None else {"number": number})


def move(entry_id: int, new: int) -> None:
    rows(entry_id).update(id=new)


def insert(entry: AuditEntry) -> None:
    AuditEntry._base_manager.bulk_create([entry])


def take_out(entry_id: int) -> AuditEntry:
    """Delete an entry and return it, as if its transaction had not committed yet."""
    entry = AuditEntry.objects.get(id=entry_id)
    rows(entry_id).delete()
    return entry


def found(report: Report | None = None) -> list[tuple[str, str]]:
    """Return what a verification finds, and where."""
    return [(finding.kind.value, finding.where) for finding in (report or verification.verify()).findings]
