"""The audit entries of one tenant, for the people who manage it."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from core.actor import ActorKind
from core.listing import in_period, newest_with
from core.models import AuditEntry
from tenants.models import Tenant

# Anybody who finds a key may report it, so that a tenant learns of the report, and not of who made it.
REPORT_LEAK = "key.report_leak"


def entries_for(
    tenant: Tenant,
    *,
    actor_id: str | None = None,
    action: str | None = None,
    object_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
) -> QuerySet[AuditEntry]:
    """Return the entries of a tenant, newest first.

    `actor_id` is that of a person: who among the operators acted, or reported a leak, is nothing that a tenant may find
    out.
    """
    rows = newest_with(AuditEntry.objects.all(), object_id=object_id, tenant_id=tenant.id, action=action)
    if actor_id is not None:
        rows = rows.filter(actor_id=actor_id, actor_kind=ActorKind.USER).exclude(action=REPORT_LEAK)
    if before is not None:
        rows = rows.filter(id__lt=before)
    return in_period(rows, AuditEntry.objects.all(), "at", since, until)
