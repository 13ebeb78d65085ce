"""Verifications by tenant and outcome, of each minute for two days and of each hour for ninety.

`apikeys.verification` counts them in memory, and `apikeys.usage` writes them here, in the transaction of the uses. What
counts is what counts uses: validations, unless their client asked for none. The sweep adds minutes to their hours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

import orjson
from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.functions import TruncHour
from django.utils import timezone

from apikeys.models import HourCount, MinuteCount, VerificationCount
from core.db import transactional

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MINUTES_KEPT_FOR, HOURS_KEPT_FOR = timedelta(hours=48), timedelta(days=90)
# The tenant of keys that belong to none, and of the sums over all tenants.
INSTALLATION = ""
_VALID = "VALID"  # as in apikeys.verification, which this module must not import
# So many rows are swept in one transaction, so that nobody waits long for their locks.
SLICE = 1000


class Outcomes(NamedTuple):
    """The number of verifications of one tenant's keys in a minute that had the same outcome, a VerdictCode."""

    minute: datetime
    tenant_id: str
    outcome: str
    number: int


class Period(NamedTuple):
    """The numbers of verifications in a minute or an hour by outcome, of those outcomes that there were."""

    start: datetime
    numbers: dict[str, int]


class Resolution(Enum):
    """The length of the periods that are read."""

    MINUTE = MINUTE
    HOUR = HOUR


# One statement for all rows, as in apikeys.usage. The names of the tables are those of the models.
_ADD = {
    "mysql": """
        INSERT INTO {table} (tenant_id, start, outcome, number)
        SELECT counted.tenant_id, counted.start, counted.outcome, counted.added FROM JSON_TABLE(%s, '$[*]' COLUMNS (
            tenant_id VARCHAR(50) PATH '$[0]',
            start DATETIME(6) PATH '$[1]',
            outcome VARCHAR(20) PATH '$[2]',
            added BIGINT PATH '$[3]'
        )) AS counted
        ON DUPLICATE KEY UPDATE number = number + VALUES(number)""",
    "sqlite": """
        INSERT INTO {table} (tenant_id, start, outcome, number)
        SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(%s) WHERE TRUE
        ON CONFLICT (tenant_id, start, outcome) DO UPDATE SET number = number + excluded.number""",
}


def add(outcomes: Sequence[Outcomes]) -> None:
    """Add outcomes to their minutes, and to those of the installation. Call it in the transaction of their uses."""
    sums: defaultdict[tuple[str, datetime, str], int] = defaultdict(int)
    for minute, tenant_id, outcome, number in outcomes:
        for subject in {tenant_id, INSTALLATION}:
            sums[subject, minute, outcome] += number
    _add(MinuteCount, sums)


def read(tenant_id: str, first: datetime, last: datetime, resolution: Resolution) -> list[Period]:
    """Return the periods from that of `first` to that of `last`, without those that are no longer kept.

    Read INSTALLATION for all tenants together. The caller has checked that the actor may read the tenant. So long as
    minutes are kept, they are read for hours as well.
    """
    length = resolution.value
    kept_for = MINUTES_KEPT_FOR if resolution == Resolution.MINUTE else HOURS_KEPT_FOR
    now = timezone.now()
    first, last = _start(max(first, now - kept_for), length), min(last, now)
    found: defaultdict[datetime, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for start, outcome, number in _rows(tenant_id, first, last, resolution):
        found[start][outcome] += number
    starts = [first + number * length for number in range((last - first) // length + 1)]
    return [Period(start, dict(found[start]) if start in found else {}) for start in starts]


def of_days(tenant_id: str, first: date, last: date, resolution: Resolution) -> list[Period]:
    """Return the periods of whole days like `read`, each with every outcome that one of them has."""
    periods = read(tenant_id, datetime.combine(first, time.min, UTC), datetime.combine(last, time.max, UTC), resolution)
    refusals = {code for period in periods for code in period.numbers} - {_VALID}
    codes = [_VALID, *sorted(refusals)]
    return [Period(period.start, {code: period.numbers.get(code, 0) for code in codes}) for period in periods]


def sweep() -> int:
    """Add the minutes of old hours to those hours, delete old hours, and return the number of deleted rows."""
    now = _start(timezone.now(), HOUR)
    return _in_slices(partial(_roll_up, now - MINUTES_KEPT_FOR)) + _in_slices(partial(_expire, now - HOURS_KEPT_FOR))


def _rows(tenant_id: str, first: datetime, last: datetime, resolution: Resolution) -> QuerySet[Any, Any]:
    minutes = MinuteCount.objects.in_tenants([tenant_id]).filter(start__range=(first, last))
    if resolution == Resolution.MINUTE:
        return minutes.values_list("start", "outcome", "number")
    hours = HourCount.objects.in_tenants([tenant_id]).filter(start__range=(first, last))
    # One statement, because rows that the sweep moves between two would be read twice or not at all.
    of_minutes = minutes.values_list(TruncHour("start", tzinfo=UTC), "outcome", "number")
    return of_minutes.union(hours.values_list(F("start"), "outcome", "number"), all=True)


def _start(moment: datetime, length: timedelta) -> datetime:
    """Return when the minute or hour of a moment began."""
    begun = moment.astimezone(UTC).replace(second=0, microsecond=0)
    return begun.replace(minute=0) if length == HOUR else begun


def _add(model: type[VerificationCount], sums: dict[tuple[str, datetime, str], int]) -> None:
    # In one order, so that two writers do not deadlock.
    rows = [
        (tenant_id, start.replace(tzinfo=None).isoformat(" "), outcome, number)
        for (tenant_id, start, outcome), number in sorted(sums.items())
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_ADD[connection.vendor].format(table=model._meta.db_table), [orjson.dumps(rows).decode()])


def _in_slices(sweep_slice: Callable[[], int]) -> int:
    """Repeat it until a slice is not full, and return the number of all rows."""
    total = 0
    while True:
        number = sweep_slice()
        total += number
        if number < SLICE:
            return total


@transactional
def _roll_up(before: datetime) -> int:
    """Move a slice of minutes before a moment into their hours. Rows that arrive later are added by a later sweep."""
    sums: defaultdict[tuple[str, datetime, str], int] = defaultdict(int)
    rows = _take(MinuteCount, before)
    for row in rows:
        sums[row.tenant_id, _start(row.start, HOUR), row.outcome] += row.number
    _add(HourCount, sums)
    return len(rows)


@transactional
def _expire(before: datetime) -> int:
    return len(_take(HourCount, before))


def _take(model: type[VerificationCount], before: datetime) -> list[VerificationCount]:
    """Delete a slice of rows from before a moment, and return them. They are locked first: nothing adds to them."""
    rows = list(model.unscoped.filter(start__lt=before).order_by("start")[:SLICE].select_for_update())
    model.unscoped.filter(pk__in=[row.pk for row in rows]).delete()
    return rows
