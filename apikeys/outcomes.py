"""Verifications by outcome over time: of the installation, of tenants, agents and keys.

    MinuteCount      installation and tenants   by minute         kept for two days
    HourCount        installation and tenants   by hour           kept for ninety days
    FiveMinuteCount  agents and keys            by five minutes   kept for a day and some hours
    DailyRefusals    all four                   by day            kept for ninety days

`apikeys.verification` counts them in memory, and `apikeys.usage` writes them here, in the transaction of the uses.
Every validation is counted, unless its client asked not to count a use. All periods are in UTC. Each validation is
added to all tables at once, so that reading a period needs no aggregation, and the sweep only deletes. The valid ones
of a day are in DailyUse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Any, NamedTuple

import orjson
from django.db import connection
from django.db.models import Model, QuerySet
from django.utils import timezone

from apikeys.models import DailyRefusals, FiveMinuteCount, HourCount, MinuteCount
from apikeys.periods import DAY, FIVE_MINUTES, HOUR, MINUTE, start_of
from core.db import transactional
from core.fields import stored_time

MINUTES_KEPT_FOR, FIVE_MINUTES_KEPT_FOR = timedelta(hours=48), timedelta(hours=26)
HOURS_KEPT_FOR = DAYS_KEPT_FOR = timedelta(days=90)
# The tenant of keys that belong to none, and of the sums over all tenants.
INSTALLATION = ""
VALID = "VALID"  # as in apikeys.verification, which this module must not import
# So many rows are swept in one transaction, so that nobody waits long for their locks.
SLICE = 1000


class Outcomes(NamedTuple):
    """The number of verifications of one key in a minute that had the same outcome, a VerdictCode.

    A key that nobody has is "", of no agent, and of the tenant INSTALLATION.
    """

    minute: datetime
    tenant_id: str
    agent_id: str
    key_id: str
    outcome: str
    number: int


class Period(NamedTuple):
    """The numbers of verifications in a period by outcome, of those outcomes that there were."""

    start: datetime
    numbers: dict[str, int]


class Resolution(Enum):
    """The length of the periods that are read."""

    MINUTE = MINUTE
    HOUR = HOUR


# One statement for all rows of a table, as in apikeys.usage.
_ADD = {
    "mysql": """
        INSERT INTO {table} ({subject}, {start}, outcome, number)
        SELECT counted.subject, counted.start, counted.outcome, counted.added FROM JSON_TABLE(%s, '$[*]' COLUMNS (
            subject VARCHAR(50) PATH '$[0]',
            start {type} PATH '$[1]',
            outcome VARCHAR(20) PATH '$[2]',
            added BIGINT PATH '$[3]'
        )) AS counted
        ON DUPLICATE KEY UPDATE number = number + VALUES(number)""",
    "sqlite": """
        INSERT INTO {table} ({subject}, {start}, outcome, number)
        SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(%s) WHERE TRUE
        ON CONFLICT ({subject}, {start}, outcome) DO UPDATE SET number = number + excluded.number""",
}
# A row to add to: the subject, the start as the database writes it, and the outcome.
_Row = tuple[str, str, str]


def add(outcomes: Sequence[Outcomes]) -> None:
    """Add outcomes to the periods of everything that they are about. Call it in the transaction of their uses."""
    by_minute: defaultdict[datetime, list[Outcomes]] = defaultdict(list)
    for each in outcomes:
        by_minute[each.minute].append(each)
    minutes, five_minutes, hours, days = (list[tuple[_Row, int]]() for _table in range(4))
    for minute, of_minute in by_minute.items():
        keys = [((each.key_id, each.outcome), each.number) for each in of_minute if each.key_id]
        agents = _summed(((each.agent_id, each.outcome), each.number) for each in of_minute if each.key_id)
        tenants = _summed(((each.tenant_id, each.outcome), each.number) for each in of_minute if each.tenant_id)
        everything = _summed(((INSTALLATION, each.outcome), each.number) for each in of_minute)
        for rows, length, counted in (
            (minutes, MINUTE, (*tenants, *everything)),
            (five_minutes, FIVE_MINUTES, (*keys, *agents)),
            (hours, HOUR, (*tenants, *everything)),
        ):
            start = stored_time(start_of(minute, length))
            rows += [((subject, start, outcome), number) for (subject, outcome), number in counted]
        day = start_of(minute, DAY).date().isoformat()
        days += [
            ((subject, day, outcome), number)
            for (subject, outcome), number in (*keys, *agents, *tenants, *everything)
            if outcome != VALID
        ]
    _add(MinuteCount, minutes)
    _add(FiveMinuteCount, five_minutes)
    _add(HourCount, hours)
    _add(DailyRefusals, days)


def read(tenant_id: str, first: datetime, last: datetime, resolution: Resolution) -> list[Period]:
    """Return the periods from that of `first` to that of `last`, without those that are no longer kept.

    Read INSTALLATION for all tenants together. The caller has checked that the actor may read the tenant.
    """
    length = resolution.value
    by_minute = resolution == Resolution.MINUTE
    now = timezone.now()
    first = start_of(max(first, now - (MINUTES_KEPT_FOR if by_minute else HOURS_KEPT_FOR)), length)
    last = min(last, now)
    rows = (MinuteCount if by_minute else HourCount).objects.in_tenants([tenant_id])
    return _periods(rows, first, last, length)


def read_of_key(subject: str, first: datetime, last: datetime, length: timedelta) -> list[Period]:
    """Return the periods from that of `first` to that of `last`, of five minutes or an hour, of a key or an agent.

    The caller has checked that the actor may read it. What is no longer kept counts as nothing.
    """
    rows = FiveMinuteCount.objects.filter(subject=subject)
    return _periods(rows, start_of(first, length), last, length)


def refusals_of_days(subject: str, first: date, last: date) -> dict[date, dict[str, int]]:
    """Return the refusals on each day from `first` to `last` by outcome, of a key, an agent, a tenant or all of them.

    The caller has checked that the actor may read it.
    """
    found: dict[date, dict[str, int]] = {}
    rows = DailyRefusals.objects.filter(subject=subject, day__range=(first, last))
    for day, outcome, number in rows.values_list("day", "outcome", "number"):
        found.setdefault(day, {})[outcome] = number
    return found


def of_days(tenant_id: str, first: date, last: date, resolution: Resolution) -> list[Period]:
    """Return the periods of whole days like `read`, each with every outcome that one of them has."""
    periods = read(tenant_id, datetime.combine(first, time.min, UTC), datetime.combine(last, time.max, UTC), resolution)
    refusals = {code for period in periods for code in period.numbers} - {VALID}
    codes = [VALID, *sorted(refusals)]
    return [Period(period.start, {code: period.numbers.get(code, 0) for code in codes}) for period in periods]


def sweep() -> int:
    """Delete the counts that are no longer kept, and return their number."""
    hour = start_of(timezone.now(), HOUR)
    return (
        _delete(MinuteCount.unscoped.filter(start__lt=hour - MINUTES_KEPT_FOR))
        + _delete(FiveMinuteCount.objects.filter(start__lt=hour - FIVE_MINUTES_KEPT_FOR))
        + _delete(HourCount.unscoped.filter(start__lt=hour - HOURS_KEPT_FOR))
        + _delete(DailyRefusals.objects.filter(day__lt=hour.date() - DAYS_KEPT_FOR))
    )


def _periods(rows: QuerySet[Any], first: datetime, last: datetime, length: timedelta) -> list[Period]:
    """Return the sums of rows by period. The rows' own periods may be shorter."""
    found: defaultdict[datetime, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for start, outcome, number in rows.filter(start__range=(first, last)).values_list("start", "outcome", "number"):
        found[start_of(start, length)][outcome] += number
    starts = [first + number * length for number in range((last - first) // length + 1)]
    return [Period(start, dict(found[start]) if start in found else {}) for start in starts]


def _summed(counted: Iterable[tuple[tuple[str, str], int]]) -> list[tuple[tuple[str, str], int]]:
    """Return one sum for each subject and outcome."""
    sums: defaultdict[tuple[str, str], int] = defaultdict(int)
    for by, number in counted:
        sums[by] += number
    return list(sums.items())


def _add(model: type[Model], counted: Sequence[tuple[_Row, int]]) -> None:
    """Add numbers to the rows of a model, whose primary key is the subject, the start and the outcome."""
    if not counted:
        return
    subject, start, _outcome = model._meta.pk_fields
    sql = _ADD[connection.vendor].format(
        table=model._meta.db_table,
        subject=subject.column,
        start=start.column,
        type="DATE" if start.column == "day" else "DATETIME(6)",
    )
    # In one order, so that two writers do not deadlock. A row may occur twice, and is then added to twice.
    rows = [(*row, number) for row, number in sorted(counted)]
    with connection.cursor() as cursor:
        cursor.execute(sql, [orjson.dumps(rows).decode()])


def _delete(rows: QuerySet[Any]) -> int:
    """Delete rows in slices, and return their number."""
    total = 0
    while number := _delete_slice(rows):
        total += number
    return total


@transactional
def _delete_slice(rows: QuerySet[Any]) -> int:
    ids = list(rows.values_list("pk", flat=True)[:SLICE])
    deleted: int = rows.model._base_manager.filter(pk__in=ids).delete()[0]
    return deleted
