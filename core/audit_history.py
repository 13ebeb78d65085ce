"""The last changes of an object or a tenant, from the audit log."""

from __future__ import annotations

from django.db.models import QuerySet

from core.listing import ids_of, newest_with, rows_in_order
from core.models import AuditEntry

SHOWN = 10


def last_changes(object_id: str) -> list[AuditEntry]:
    """Return the last changes of an object, the latest first. The caller has checked that the actor may read them."""
    return _latest(newest_with(AuditEntry.objects.all(), object_id=object_id))


def last_changes_in(tenant_id: str) -> list[AuditEntry]:
    """Return the last changes of anything in a tenant like `last_changes`."""
    return _latest(newest_with(AuditEntry.objects.all(), tenant_id=tenant_id))


def _latest(rows: QuerySet[AuditEntry]) -> list[AuditEntry]:
    return rows_in_order(rows, list(ids_of(rows)[:SHOWN]))
