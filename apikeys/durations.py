"""Durations of verifications: their numbers by duration in each minute, hour and UTC day, and quantiles of these.

Workers count in memory (apikeys.verification.durations); `apikeys.usage` writes the counts of all of them here, in the
transaction of the uses. A period has at most a row for each of BOUNDS and one for what takes longer, however many
workers, machines and verifications there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson
from django.db import connection
from django.utils import timezone

from apikeys.models import VerificationTime
from apikeys.periods import DAY, HOUR, MINUTE, start_of
from core.fields import stored_time

# The upper bounds of the buckets, in seconds. A quantile is interpolated linearly within its bucket.
BOUNDS = (
    *(0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
_KEPT_FOR = {MINUTE: timedelta(hours=2), HOUR: timedelta(hours=48), DAY: timedelta(days=90)}

_ADD = {
    "mysql": """
        INSERT INTO apikeys_verificationtime (minutes, start, bucket, number)
        SELECT counted.minutes, counted.start, counted.bucket, counted.added FROM JSON_TABLE(%s, '$[*]' COLUMNS (
            minutes INT PATH '$[0]',
            start DATETIME(6) PATH '$[1]',
            bucket INT PATH '$[2]',
            added BIGINT PATH '$[3]'
        )) AS counted
        ON DUPLICATE KEY UPDATE number = number + VALUES(number)""",
    "sqlite": """
        INSERT INTO apikeys_verificationtime (minutes, start, bucket, number)
        SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(%s) WHERE TRUE
        ON CONFLICT (minutes, start, bucket) DO UPDATE SET number = number + excluded.number""",
}


class Durations(NamedTuple):
    """The verifications of a period: their number, and the seconds within which half and 99 % of them were answered."""

    start: datetime
    number: int
    p50: float | None
    p99: float | None


def add(numbers: Sequence[int]) -> None:
    """Add the numbers by bucket to the periods of this moment. Call it in the transaction of the uses."""
    now = timezone.now()
    # In one order, so that two writers do not deadlock.
    rows = [
        (length // MINUTE, stored_time(start_of(now, length)), bucket, number)
        for length in (MINUTE, HOUR, DAY)
        for bucket, number in enumerate(numbers)
        if number
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_ADD[connection.vendor], [orjson.dumps(rows).decode()])


def read(length: timedelta, periods: int) -> list[Durations]:
    """Return the last periods of a length, a minute, an hour or a day, with the present one. Oldest first."""
    last = start_of(timezone.now(), length)
    starts = [last - ago * length for ago in reversed(range(periods))]
    counted = {start: [0] * (len(BOUNDS) + 1) for start in starts}
    rows = VerificationTime.objects.filter(minutes=length // MINUTE, start__range=(starts[0], last))
    for start, bucket, number in rows.values_list("start", "bucket", "number"):
        counted[start][bucket] += number
    return [of_counts(start, numbers) for start, numbers in counted.items()]


def of_counts(start: datetime, numbers: Sequence[int]) -> Durations:
    """Return the durations of a period whose numbers by bucket are these."""
    return Durations(start, sum(numbers), quantile(numbers, 0.5), quantile(numbers, 0.99))


def quantile(numbers: Sequence[int], part: float) -> float | None:
    """Return the seconds within which a part of all was answered, or None if there was nothing.

    Return the largest bound if that lies beyond it.
    """
    total = sum(numbers)
    if not total:
        return None
    rank = part * total
    below = 0.0
    for bound, number in zip(BOUNDS, numbers, strict=False):
        if number and rank <= number:
            return below + (bound - below) * rank / number
        rank -= number
        below = bound
    return BOUNDS[-1]


def sweep() -> int:
    """Delete the counts that are no longer kept, and return their number."""
    now = timezone.now()
    return sum(
        VerificationTime.objects.filter(minutes=length // MINUTE, start__lt=now - kept_for).delete()[0]
        for length, kept_for in _KEPT_FOR.items()
    )
