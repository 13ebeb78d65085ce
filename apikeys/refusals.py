"""Refused verifications of known keys, by which a tenant finds out why a bot was turned away.

`apikeys.verification` notes them in memory, and `apikeys.usage` writes them here, in the transaction of the uses. The
log is bounded: of a key or a tenant that is refused often, the first of each minute are noted, and the sweep deletes
what is old or too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, QuerySet
from django.utils import timezone

from apikeys.models import Refusal
from core.listing import in_period
from tenants.models import Tenant

KEPT_OF_TENANT, KEPT_OF_ALL = 10_000, 1_000_000
# So many rows are deleted in one statement, so that nobody waits long for their locks.
SLICE = 1000


class Refused(NamedTuple):
    """A refused verification: the key, why, and the request and the address that the bot sent."""

    tenant_id: str
    agent_id: str
    key_id: str
    code: str
    reason: str | None
    at: datetime
    request_id: str
    client_ip: str | None


def add(refusals: Sequence[Refused]) -> None:
    """Write refusals. Call it in the transaction of the uses that were counted with them."""
    Refusal.unscoped.bulk_create([Refusal(**refused._asdict()) for refused in refusals])


def refusals_of(
    tenant: Tenant,
    *,
    request_id: str | None = None,
    code: str | None = None,
    api_key_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
) -> QuerySet[Refusal]:
    """Return the refusals of a tenant's keys, newest first."""
    rows = Refusal.objects.newest_in(tenant.id, request_id=request_id, code=code, key_id=api_key_id)
    if before is not None:
        rows = rows.filter(id__lt=before)
    return in_period(rows, Refusal.objects.in_tenants([tenant.id]), "at", since, until)


def sweep() -> int:
    """Delete refusals older than MAIM_REFUSAL_DAYS, and the oldest of too many. Return the number of deleted rows."""
    everything = Refusal.unscoped.all()
    deleted = _delete(everything.filter(at__lt=timezone.now() - settings.REFUSAL_RETENTION))
    counts = everything.values("tenant_id").annotate(number=Count("pk")).filter(number__gt=KEPT_OF_TENANT)
    for tenant_id in counts.values_list("tenant_id", flat=True):
        deleted += _delete_all_but(KEPT_OF_TENANT, everything.filter(tenant_id=tenant_id))
    return deleted + _delete_all_but(KEPT_OF_ALL, everything)


def _delete_all_but(newest: int, rows: QuerySet[Refusal]) -> int:
    first_too_old = rows.order_by("-pk").values_list("pk", flat=True)[newest : newest + 1].first()
    return 0 if first_too_old is None else _delete(rows.filter(pk__lte=first_too_old))


def _delete(rows: QuerySet[Refusal]) -> int:
    """Delete rows in slices, and return their number."""
    deleted = 0
    while ids := list(rows.values_list("pk", flat=True)[:SLICE]):
        deleted += Refusal.unscoped.filter(pk__in=ids).delete()[0]
    return deleted
