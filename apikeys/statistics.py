"""Verifications over time by outcome: of all tenants together, of a tenant, an agent or a key.

Each series reads about what it shows: the tables of apikeys.outcomes have a row for each period and outcome, except
for the hours of agents and keys, which are sums of five minutes.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from enum import Enum
from typing import NamedTuple

from django.utils import timezone

from agents.models import Agent
from apikeys import outcomes, usage
from apikeys.models import ApiKey
from apikeys.outcomes import INSTALLATION, VALID, Period, Resolution
from apikeys.periods import DAY, FIVE_MINUTES, HOUR, MINUTE
from apikeys.verification import PERMISSION_MISSING

DAYS_SHOWN = 30


class Span(Enum):
    """The time that a series is about, until now."""

    HOUR = "hour"  # by minute, or by five minutes
    DAY = "day"  # by hour
    MONTH = "month"  # thirty days, by day


class Subject(NamedTuple):
    """A key, an agent, a tenant or the installation. The caller has checked that the actor may read it."""

    id: str
    tenant_id: str

    @staticmethod
    def of(row: Agent | ApiKey) -> Subject:
        return Subject(row.id, row.tenant_id)

    @staticmethod
    def tenant(tenant_id: str) -> Subject:
        return Subject(tenant_id, tenant_id)

    @property
    def has_minutes(self) -> bool:
        """True of a tenant and the installation, which are counted by minute and hour."""
        return self.id == self.tenant_id


EVERYTHING = Subject.tenant(INSTALLATION)


class Series(NamedTuple):
    """The numbers of verifications in periods of one length, oldest first. The last period is not over yet."""

    length: timedelta
    periods: list[Period]

    @property
    def totals(self) -> dict[str, int]:
        """The sums by outcome: VALID first, then the refusals that occurred, by their codes."""
        sums = {VALID: 0}
        for _start, numbers in self.periods:
            for outcome, number in numbers.items():
                sums[outcome] = sums.get(outcome, 0) + number
        return {VALID: sums.pop(VALID), **{code: sums[code] for code in sorted(sums)}}


def verifications(subject: Subject, span: Span) -> Series:
    """Return the verifications of a subject until now."""
    now = timezone.now()
    if span == Span.MONTH:
        return _by_day(subject, now)
    if span == Span.DAY:
        first = now - DAY + HOUR
        if subject.has_minutes:
            return Series(HOUR, outcomes.read(subject.tenant_id, first, now, Resolution.HOUR))
        return Series(HOUR, outcomes.read_of_key(subject.id, first, now, HOUR))
    if subject.has_minutes:
        return Series(MINUTE, outcomes.read(subject.tenant_id, now - HOUR + MINUTE, now, Resolution.MINUTE))
    first = now - HOUR + FIVE_MINUTES
    return Series(FIVE_MINUTES, outcomes.read_of_key(subject.id, first, now, FIVE_MINUTES))


def _by_day(subject: Subject, now: datetime) -> Series:
    """Return the uses and refusals of days in UTC. A use without the required permission is in both."""
    last = now.astimezone(UTC).date()
    first = last - (DAYS_SHOWN - 1) * DAY
    refusals = outcomes.refusals_of_days(subject.id, first, last)
    periods = []
    for day, uses in usage.by_day(subject.id, subject.tenant_id, first, last):
        refused = refusals.get(day, {})
        valid = uses - refused.get(PERMISSION_MISSING, 0)
        numbers = {VALID: valid, **refused} if valid > 0 else refused
        periods.append(Period(datetime.combine(day, time.min, UTC), numbers))
    return Series(DAY, periods)
