"""Tenants by their verifications of the last hours: the busiest, and suspended ones that are still called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from apikeys.models import HourCount
from apikeys.outcomes import INSTALLATION
from apikeys.periods import HOUR, start_of
from apikeys.verification import NOT_ACTIVE, VALID
from tenants.models import Tenant, TenantStatus

SHOWN = 10
# So many of each hour are candidates for the sum of both. It misses a tenant only if it is among them in neither hour.
_CANDIDATES = 15

# The inner queries are read from the end of the index of an outcome in an hour, however many tenants there are.
_TOP = """
    SELECT tenant_id, outcome FROM (
        SELECT tenant_id, outcome FROM apikeys_hourcount
        WHERE start = %s AND outcome = %s AND tenant_id <> %s ORDER BY number DESC LIMIT %s
    ) AS part{number}"""


class TenantCalls(NamedTuple):
    """A tenant's verifications of two hours by outcome."""

    tenant_id: str
    tenant_name: str
    numbers: dict[str, int]


class Rankings(NamedTuple):
    """Tenants with their verifications since a time, in UTC."""

    since: datetime
    busiest: list[TenantCalls]
    suspended: list[TenantCalls]


def rank() -> Rankings:
    """Return the tenants with most valid verifications, and the suspended ones with most refusals for that.

    Both come from the first of each hour, so a suspended tenant that is called less often than many that are inactive,
    or whose agents are, may be missing.
    """
    since = _since()
    hours = [since, since + HOUR]
    candidates = _candidates(hours)
    calls = _calls(hours, {tenant_id for several in candidates.values() for tenant_id in several})

    def ranked(outcome: str, *statuses: str) -> list[TenantCalls]:
        found = [calls[each] for each in candidates[outcome] if each in calls]
        chosen = [each for status, each in found if not statuses or status in statuses]
        return sorted(chosen, key=lambda each: (-each.numbers.get(outcome, 0), each.tenant_id))[:SHOWN]

    return Rankings(since, ranked(VALID), ranked(NOT_ACTIVE, TenantStatus.SUSPENDED))


def count_called_suspended() -> int:
    """Return the number of suspended tenants whose keys were refused for that since the hour before this one."""
    rows = HourCount.unscoped.filter(start__gte=_since(), outcome=NOT_ACTIVE, tenant__status=TenantStatus.SUSPENDED)
    return rows.values("tenant").distinct().count()


def _since() -> datetime:
    return start_of(timezone.now(), HOUR) - HOUR


def _candidates(hours: Sequence[datetime]) -> dict[str, set[str]]:
    """Return the ids of tenants by outcome."""
    pairs = [(hour, outcome) for hour in hours for outcome in (VALID, NOT_ACTIVE)]
    sql = " UNION ALL ".join(_TOP.format(number=number) for number in range(len(pairs)))
    params = [
        value
        for hour, outcome in pairs
        for value in (hour.replace(tzinfo=None), str(outcome), INSTALLATION, _CANDIDATES)
    ]
    found: dict[str, set[str]] = {VALID: set(), NOT_ACTIVE: set()}
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        for tenant_id, outcome in cursor.fetchall():
            found[outcome].add(tenant_id)
    return found


def _calls(hours: Sequence[datetime], tenant_ids: set[str]) -> dict[str, tuple[str, TenantCalls]]:
    """Return the statuses and verifications of tenants, without those that are gone."""
    numbers: defaultdict[str, dict[str, int]] = defaultdict(dict)
    # Not joined with the tenants, because MariaDB would begin with these, and read all hours of each.
    rows = HourCount.objects.in_tenants(tenant_ids).filter(start__in=hours)
    for tenant_id, outcome, number in rows.values_list("tenant_id", "outcome", "number"):
        numbers[tenant_id][outcome] = numbers[tenant_id].get(outcome, 0) + number
    tenants = Tenant.objects.filter(pk__in=list(numbers)).values_list("id", "tenant_name", "status")
    return {
        tenant_id: (status, TenantCalls(tenant_id, name, numbers[tenant_id])) for tenant_id, name, status in tenants
    }
