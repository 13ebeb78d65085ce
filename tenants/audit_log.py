"""The audit entries of one tenant, for the people who manage it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet

from core.actor import ActorKind
from core.models import AuditEntry
from tenants.models import Tenant

# Clocks of machines differ by less, so that an entry with a greater id is not older by more.
CLOCK_SKEW = timedelta(minutes=1)
# Anybody who finds a key may report it, so that a tenant learns of the report, and not of who made it.
REPORT_LEAK = "key.report_leak"
LATEST = datetime.max.replace(tzinfo=UTC) - CLOCK_SKEW


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
    rows = AuditEntry.objects.filter(tenant_id=tenant.id).order_by("-id")
    if actor_id is not None:
        rows = rows.filter(actor_id=actor_id, actor_kind=ActorKind.USER).exclude(action=REPORT_LEAK)
    if action is not None:
        rows = rows.filter(action=action)
    if object_id is not None:
        rows = rows.filter(object_id=object_id)
    if before is not None:
        rows = rows.filter(id__lt=before)
    return _within(rows, since, until)


def _within(rows: QuerySet[AuditEntry], since: datetime | None, until: datetime | None) -> QuerySet[AuditEntry]:
    """Return the entries of a time. It is narrowed down by ids, because the indexes of other filters end with them."""
    known = AuditEntry.objects.values_list("id", flat=True)
    if since is not None:
        rows = rows.filter(at__gte=since)
        earlier = known.filter(at__lt=since - CLOCK_SKEW).order_by("-at").first()
        rows = rows if earlier is None else rows.filter(id__gt=earlier)
    if until is not None:
        rows = rows.filter(at__lt=until)
        # Nothing is later than the last times that can be written.
        later = None if until > LATEST else known.filter(at__gte=until + CLOCK_SKEW).order_by("at").first()
        rows = rows if later is None else rows.filter(id__lt=later)
    return rows
