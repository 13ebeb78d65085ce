"""The last changes of an object or a tenant, from the audit log."""

from __future__ import annotations

from django.db.models import QuerySet

from core.listing import ids_of, rows_in_order
from core.models import AuditEntry

SHOWN = 10


def last_changes(object_id: str) -> list[AuditEntry]:
    """Return the last changes of an object, the latest first. The caller has checked that the actor may read them."""
    return _latest(AuditEntry.objects.filter(object_id=object_id))


def last_changes_in(tenant_id: str) -> list[AuditEntry]:
    """Return the last changes of anything in a tenant like `last_changes`."""
    return _latest(AuditEntry.objects.filter(tenant_id=tenant_id))


def _latest(rows: QuerySet[AuditEntry]) -> list[AuditEntry]:
    # By their ids, for which MariaDB reads an index that ends with them, and not the whole log from its end.
    return rows_in_order(rows, list(ids_of(rows.order_by("-id"))[:SHOWN]))
