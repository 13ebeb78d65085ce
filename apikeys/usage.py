"""Uses of keys as the database has them: in total, by day, and by secrets that were rotated out.

`apikeys.verification` counts them in memory and writes them here. Quotas start at these numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple, TypeVar

import orjson
from django.db import connection
from django.db.models import Exists, Model, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from agents.models import Agent
from apikeys import durations, outcomes, refusals
from apikeys.models import ApiKey, DailyUse, KeySecret
from apikeys.outcomes import INSTALLATION, Outcomes
from apikeys.refusals import Refused
from core.db import transactional
from core.fields import stored_time
from core.idempotency import Batch, is_repeat
from tenants.models import Tenant

M = TypeVar("M", bound=Model)


class Uses(NamedTuple):
    """The number of uses of one key, by one of its secrets, on one day, and the time of the last."""

    key_id: str
    day: date
    agent_id: str
    tenant_id: str
    rotated_secret_id: int | None
    number: int
    last: datetime


# A last use may be so far in the future, because clocks of machines differ. A later one is of a clock that was wrong,
# and the next use replaces it.
_CLOCK_DIFFERENCE = timedelta(minutes=1)

# One statement for a thousand keys, with the numbers in one JSON document. Written row by row, or even escaped row by
# row, counting would cost more than verification.
_ADD_TO_KEYS = {
    "mysql": """
        UPDATE apikeys_apikey AS stored
        JOIN JSON_TABLE(%(uses)s, '$[*]' COLUMNS (
            id VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$[0]',
            number BIGINT PATH '$[1]',
            last DATETIME(6) PATH '$[2]'
        )) AS used ON used.id = stored.id
        SET stored.usage_count = stored.usage_count + used.number,
            stored.last_used_at = CASE
                WHEN stored.last_used_at > used.last AND stored.last_used_at <= %(latest)s THEN stored.last_used_at
                ELSE used.last
            END""",
    "sqlite": """
        UPDATE apikeys_apikey AS stored
        SET usage_count = stored.usage_count + used.number,
            last_used_at = CASE
                WHEN stored.last_used_at > used.last AND stored.last_used_at <= %(latest)s THEN stored.last_used_at
                ELSE used.last
            END
        FROM (
            SELECT value->>0 AS id, value->>1 AS number, REPLACE(value->>2, 'T', ' ') AS last FROM json_each(%(uses)s)
        ) AS used
        WHERE used.id = stored.id""",
}
_ADD_TO_DAYS = {
    "mysql": """
        INSERT INTO apikeys_dailyuse (subject, day, tenant_id, uses)
        SELECT used.subject, used.day, used.tenant_id, used.number FROM JSON_TABLE(%s, '$[*]' COLUMNS (
            subject VARCHAR(50) PATH '$[0]',
            day DATE PATH '$[1]',
            tenant_id VARCHAR(50) PATH '$[2]',
            number BIGINT PATH '$[3]'
        )) AS used
        ON DUPLICATE KEY UPDATE uses = uses + VALUES(uses)""",
    "sqlite": """
        INSERT INTO apikeys_dailyuse (subject, day, tenant_id, uses)
        SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(%s) WHERE TRUE
        ON CONFLICT (subject, day) DO UPDATE SET uses = uses + excluded.uses""",
}


@transactional
def add(
    uses: Sequence[Uses],
    batch: Batch | None = None,
    verifications: Sequence[Outcomes] = (),
    refused: Sequence[Refused] = (),
    took: Sequence[int] = (),
) -> None:
    """Add uses to their keys, and to the days of their keys, agents, tenants and the installation: all or none.

    Add the outcomes of verifications to their periods, and how long they took, and write refusals. Do nothing for a
    batch that was written already. Rows are locked in one order, so that two writers do not deadlock. There is no
    audit row, because uses are measurements and not changes.
    """
    if batch is not None and is_repeat(batch):
        return
    # A key may occur more than once, for two days or two secrets, but a statement updates a row only once. A day may be
    # inserted twice.
    keys: dict[str, tuple[int, datetime]] = {}
    days: list[tuple[str, date, str, int]] = []
    of_agents: defaultdict[tuple[str, date, str], int] = defaultdict(int)
    of_tenants: defaultdict[tuple[str, date, str], int] = defaultdict(int)
    of_all: defaultdict[tuple[str, date, str], int] = defaultdict(int)
    last_of_secrets: dict[int, datetime] = {}
    for key_id, day, agent_id, tenant_id, secret_id, number, last in uses:
        before, last_before = keys.get(key_id, (0, last))
        keys[key_id] = before + number, max(last, last_before)
        days.append((key_id, day, tenant_id, number))
        of_agents[agent_id, day, tenant_id] += number
        if secret_id is not None:
            last_of_secrets[secret_id] = max(last, last_of_secrets.get(secret_id, last))
    for (_agent_id, day, tenant_id), number in of_agents.items():
        of_tenants[tenant_id, day, tenant_id] += number
        of_all[INSTALLATION, day, INSTALLATION] += number
    days += [(*of, number) for sums in (of_agents, of_tenants, of_all) for of, number in sums.items()]
    days.sort()
    to_keys = [(key_id, number, last.replace(tzinfo=None)) for key_id, (number, last) in sorted(keys.items())]
    latest = timezone.now() + _CLOCK_DIFFERENCE
    with connection.cursor() as cursor:
        arguments = {"uses": orjson.dumps(to_keys).decode(), "latest": stored_time(latest)}
        cursor.execute(_ADD_TO_KEYS[connection.vendor], arguments)
        cursor.execute(_ADD_TO_DAYS[connection.vendor], [orjson.dumps(days).decode()])
    for secret_id, last in sorted(last_of_secrets.items()):
        earlier = Q(last_used_at=None) | Q(last_used_at__lt=last) | Q(last_used_at__gt=latest)
        KeySecret.objects.filter(earlier, pk=secret_id).update(last_used_at=last)
    outcomes.add(verifications)
    refusals.add(refused)
    durations.add(took)


def by_day(subject: str, tenant_id: str, first: date, last: date) -> list[tuple[date, int]]:
    """Return the uses of a key, an agent or a tenant on each day from `first` to `last`, including zeros.

    Those of all tenants together are those of INSTALLATION.
    """
    rows = DailyUse.objects.in_tenants([tenant_id]).filter(subject=subject, day__range=(first, last))
    counted = dict(rows.values_list("day", "uses"))
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [(day, counted.get(day, 0)) for day in days]


class KeyUses(NamedTuple):
    """The uses of one key in a number of days."""

    key: ApiKey
    uses: int


def busiest_keys(tenant_id: str, first: date, last: date, limit: int) -> list[KeyUses]:
    """Return the keys of a tenant with most uses from `first` to `last`, the busiest first."""
    keys, days = ApiKey.objects.in_tenants([tenant_id]), DailyUse.objects.in_tenants([tenant_id])
    return [KeyUses(key, uses) for key, uses in _busiest(keys, days, first, last, limit)]


def busiest_agents(tenant_id: str, first: date, last: date, limit: int) -> list[tuple[Agent, int]]:
    """Return the agents of a tenant with most uses of their keys like `busiest_keys`, each with the number."""
    agents, days = Agent.objects.in_tenants([tenant_id]), DailyUse.objects.in_tenants([tenant_id])
    return _busiest(agents, days, first, last, limit)


def busiest_tenants(first: date, last: date, limit: int) -> list[tuple[Tenant, int]]:
    """Return the tenants with most uses of their keys like `busiest_keys`, each with the number."""
    return _busiest(Tenant.objects.all(), DailyUse.unscoped.all(), first, last, limit)


def _busiest(rows: QuerySet[M], days: QuerySet[DailyUse], first: date, last: date, limit: int) -> list[tuple[M, int]]:
    counted = days.filter(day__range=(first, last), subject__in=rows.values("pk"))
    sums = list(counted.values_list("subject").annotate(total=Sum("uses")).order_by("-total", "subject")[:limit])
    found = rows.in_bulk([subject for subject, _uses in sums])
    return [(found[subject], uses) for subject, uses in sums if subject in found]


def total_since(subject: str, tenant_id: str, first: date | None) -> int:
    """Return the uses of a key, an agent or a tenant since a day, or of all time."""
    rows = DailyUse.objects.in_tenants([tenant_id]).filter(subject=subject)
    if first is not None:
        rows = rows.filter(day__gte=first)
    total: int | None = rows.aggregate(total=Sum("uses"))["total"]
    return total or 0


def sweep() -> int:
    """Delete the counts of keys, agents and tenants that no longer exist, and return their number."""
    rows = DailyUse.unscoped.exclude(subject=INSTALLATION)
    for model in (ApiKey.unscoped, Agent.unscoped, Tenant.objects):
        rows = rows.filter(~Exists(model.filter(pk=OuterRef("subject"))))
    return rows.delete()[0]
