"""Verifications of a made-up history by outcome, in every period in which apikeys.outcomes and .durations count them.

Of yesterday and today, each use of a key is in one of its five minutes, and the minutes and hours of agents, tenants
and the installation are sums of these. The hours before are shares of a tenant's day.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from typing import NamedTuple

from apikeys.durations import BOUNDS
from apikeys.models import ApiKey, DailyRefusals, FiveMinuteCount, HourCount, MinuteCount, VerificationTime
from apikeys.outcomes import FIVE_MINUTES_KEPT_FOR, INSTALLATION
from apikeys.periods import DAY, FIVE_MINUTES, HOUR, MINUTE, start_of
from apikeys.verification import VALID, VerdictCode
from core.fields import stored_time
from demo.context import Context
from demo.population import DemoAgent, DemoTenant

# The last days of which verifications are by hour.
_HOURLY_DAYS = 30
_DURATION_MINUTES = timedelta(hours=2)
# How busy the hours of a day are, in UTC: most people of this history live eight hours ahead.
_BUSY = (9, 10, 10, 9, 8, 9, 11, 12, 12, 11, 10, 10, 12, 14, 13, 9, 5, 3, 2, 1, 1, 2, 4, 7)
_PERIODS_OF_HOUR, _PERIODS_OF_DAY = HOUR // FIVE_MINUTES, DAY // FIVE_MINUTES
# A bot calls several times when somebody talks to it.
_BURST, _MAX_BURSTS = 5, 200
# A day with fewer uses is of a few hours.
_FEW = 200
# Per mille of verifications in each bucket of durations: half take less than 100 µs, one in a hundred milliseconds.
_DURATIONS = (10, 60, 300, 390, 140, 50, 25, 12, 7, 3, 2, 1)
_COMMONEST = _DURATIONS.index(max(_DURATIONS))


class _Refused(NamedTuple):
    """Verifications of a key in a minute that were refused for the same reason."""

    tenant_id: str
    agent_id: str
    key_id: str
    minute: datetime
    code: str
    number: int


class Verifications:
    """Sums of verifications, each written once.

    Periods are of five minutes, and numbered from the beginning of yesterday.
    """

    def __init__(self, context: Context) -> None:
        self._random, self._now, self._storage = context.random, context.now, context.storage
        today = datetime.combine(context.now.date(), time.min, UTC)
        self._yesterday = today - DAY
        self._first_hourly_day = today - (_HOURLY_DAYS - 1) * DAY
        self._last_period = self._period_of(context.now)
        self._first_kept_period = self._period_of(start_of(context.now, HOUR) - FIVE_MINUTES_KEPT_FOR)
        periods = range(2 * _PERIODS_OF_DAY)
        self._stored_starts = [stored_time(self._start_of(period)) for period in periods]
        # For each period, the sum of `_BUSY` over the periods before it.
        self._busy_before = [0, *accumulate(_BUSY[period // _PERIODS_OF_HOUR % 24] for period in periods)]
        self._of_agents: Counter[tuple[str, int]] = Counter()
        self._of_tenants: Counter[tuple[str, int]] = Counter()
        self._refused: list[_Refused] = []
        self._minutes: Counter[tuple[str, datetime, str]] = Counter()
        self._hours: Counter[tuple[str, datetime, str]] = Counter()

    @property
    def share_of_today(self) -> float:
        """The share of a usual day's verifications that are over by now."""
        begun = self._busy_before[self._last_period] - self._busy_before[_PERIODS_OF_DAY]
        return (begun + 1) / (self._busy_before[-1] - self._busy_before[_PERIODS_OF_DAY])

    def is_recent(self, day: datetime) -> bool:
        """Return whether the verifications of a day are by minute."""
        return day >= self._yesterday

    def add_recent(self, key: ApiKey, agent: DemoAgent, day: datetime, number: int) -> tuple[datetime, datetime]:
        """Add valid verifications of a key on a recent day. Return the period in which the last of them was."""
        first = self._period_of(max(day, key.created_at))
        last = min(self._period_of(day) + _PERIODS_OF_DAY - 1, self._last_period)
        periods = self._choose_periods(first, last, min(1 + number // _BURST, _MAX_BURSTS))
        for period, part in zip(periods, _parts(number, len(periods)), strict=True):
            if period >= self._first_kept_period:
                self._storage.add_count(FiveMinuteCount, key.pk, self._stored_starts[period], VALID, part)
            self._of_agents[key.agent_id, period] += part
            self._of_tenants[agent.row.tenant_id, period] += part
        began = self._start_of(periods[-1])
        return began, began + FIVE_MINUTES

    def add_day(self, tenant: DemoTenant, day: date, number: int) -> None:
        """Add the valid verifications of a tenant on a day, to its hours unless they are known by minute."""
        start = datetime.combine(day, time.min, UTC)
        if number and self._first_hourly_day <= start < self._yesterday:
            for hour, part in self._spread(number, start):
                self._write_hour(tenant.row.pk, hour, VALID, part)

    def refuse(self, key: ApiKey, at: datetime, code: VerdictCode, number: int) -> None:
        """Add refused verifications of a key. They are of the last thirty days."""
        minute = start_of(at, MINUTE)
        self._refused.append(_Refused(key.tenant_id, key.agent_id, key.pk, minute, code.value, number))

    def finish(self, uses: Mapping[str, int]) -> None:
        """Write all sums. `uses` are those of the installation by day, which are its valid verifications."""
        for (agent_id, period), number in sorted(self._of_agents.items()):
            if period >= self._first_kept_period:
                self._storage.add_count(FiveMinuteCount, agent_id, self._stored_starts[period], VALID, number)
        for (tenant_id, period), number in sorted(self._of_tenants.items()):
            for minute, part in self._minutes_of(period, number):
                self._add_minute(tenant_id, minute, VALID, part)
        self._finish_refusals()
        self._add_unknown()
        for (subject, minute, outcome), number in sorted(self._minutes.items()):
            self._storage.add_count(MinuteCount, subject, stored_time(minute), outcome, number)
        for (subject, hour, outcome), number in sorted(self._hours.items()):
            self._storage.add_count(HourCount, subject, stored_time(hour), outcome, number)
        self._finish_days(uses)

    def _period_of(self, moment: datetime) -> int:
        return (moment - self._yesterday) // FIVE_MINUTES

    def _start_of(self, period: int) -> datetime:
        return self._yesterday + period * FIVE_MINUTES

    def _choose_periods(self, first: int, last: int, number: int) -> list[int]:
        """Return so many periods, or fewer, the busy ones rather than the others."""
        before, random = self._busy_before, self._random.random
        low, high = before[first], before[last + 1]
        chosen = {bisect(before, low + (high - low) * random(), first, last + 1) - 1 for _ in range(number)}
        return sorted(chosen)

    def _minutes_of(self, period: int, number: int) -> Iterator[tuple[datetime, int]]:
        """Yield the minutes of a period that have a part of its verifications."""
        start = self._start_of(period)
        over = min((self._now - start) // MINUTE + 1, 5)
        used, offset = min(over, 1 + number // 3), self._random.randrange(over)
        for place, part in enumerate(_parts(number, used)):
            yield start + (offset + place) % over * MINUTE, part

    def _spread(self, number: int, day: datetime) -> Iterator[tuple[datetime, int]]:
        """Yield the hours of a day that have a part of its uses."""
        hours = list(range(24))
        if number < _FEW:
            hours = sorted(self._random.sample(hours, 1 + number // 20))
        weight = sum(_BUSY[hour] for hour in hours)
        parts = {hour: number * _BUSY[hour] // weight for hour in hours}
        parts[hours[-1]] += number - sum(parts.values())
        for hour, part in parts.items():
            if part:
                yield day + hour * HOUR, part

    def _write_hour(self, tenant_id: str, hour: datetime, outcome: str, number: int) -> None:
        """Write an hour of a tenant that has no other part, and add it to the installation's."""
        self._storage.add_count(HourCount, tenant_id, stored_time(hour), outcome, number)
        self._hours[INSTALLATION, hour, outcome] += number

    def _add_minute(self, tenant_id: str, minute: datetime, outcome: str, number: int) -> None:
        """Add verifications of a tenant to its periods and the installation's."""
        for subject in {tenant_id, INSTALLATION}:
            if minute >= self._yesterday:
                self._minutes[subject, minute, outcome] += number
            self._hours[subject, start_of(minute, HOUR), outcome] += number

    def _finish_refusals(self) -> None:
        """Add the refusals to minutes and hours. Write those of agents and keys, and of days."""
        five_minutes: Counter[tuple[str, int, str]] = Counter()
        days: Counter[tuple[str, str, str]] = Counter()
        for tenant_id, agent_id, key_id, minute, code, number in self._refused:
            self._add_minute(tenant_id, minute, code, number)
            period = self._period_of(minute)
            for subject in (key_id, agent_id):
                if period >= max(self._first_kept_period, 0):
                    five_minutes[subject, period, code] += number
            for subject in (key_id, agent_id, tenant_id):
                days[subject, minute.date().isoformat(), code] += number
        for (subject, period, code), number in sorted(five_minutes.items()):
            self._storage.add_count(FiveMinuteCount, subject, self._stored_starts[period], code, number)
        for (subject, day, code), number in sorted(days.items()):
            self._storage.add_count(DailyRefusals, subject, day, code, number)

    def _add_unknown(self) -> None:
        """Add texts that are no key, and keys that nobody knows. No tenant is told of them."""
        for hour in sorted({hour for _subject, hour, _outcome in self._hours}):
            valid = self._hours[INSTALLATION, hour, VALID]
            over = min((self._now - hour) // MINUTE + 1, 60)
            for code in (VerdictCode.UNKNOWN, VerdictCode.MALFORMED):
                number = self._random.randrange(1, 3 + valid // 200)
                for part in _parts(number, min(number, 6)):
                    minute = hour + self._random.randrange(over) * MINUTE
                    self._add_minute(INSTALLATION, minute, code.value, part)

    def _finish_days(self, uses: Mapping[str, int]) -> None:
        """Write the installation's refusals by day, and how long verifications took."""
        refused: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for (subject, hour, outcome), number in self._hours.items():
            if subject == INSTALLATION and outcome != VALID:
                refused[hour.date().isoformat()][outcome] += number
        for day, numbers in sorted(refused.items()):
            for code, number in sorted(numbers.items()):
                self._storage.add_count(DailyRefusals, INSTALLATION, day, code, number)
        self._write_durations({day: number + refused[day].total() for day, number in uses.items()})

    def _write_durations(self, days: Mapping[str, int]) -> None:
        """Write how long verifications took, given the number of each day: by minute, by hour and by day."""
        minutes: Counter[datetime] = Counter()
        for (subject, minute, _outcome), number in self._minutes.items():
            if subject == INSTALLATION:
                minutes[minute] += number
        hours: defaultdict[datetime, Counter[int]] = defaultdict(Counter)
        recent: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for minute, number in sorted(minutes.items()):
            buckets = self._durations(number)
            if minute > self._now - _DURATION_MINUTES:
                self._write_buckets(MINUTE, minute, buckets)
            hours[start_of(minute, HOUR)] += buckets
            recent[minute.date().isoformat()] += buckets
        for hour, buckets in hours.items():
            self._write_buckets(HOUR, hour, buckets)
        for day, number in days.items():
            start = datetime.fromisoformat(day).replace(tzinfo=UTC)
            self._write_buckets(DAY, start, recent[day] or self._durations(number))

    def _write_buckets(self, length: timedelta, start: datetime, buckets: Counter[int]) -> None:
        for bucket, number in sorted(buckets.items()):
            self._storage.add_count(VerificationTime, length // MINUTE, stored_time(start), bucket, number)

    def _durations(self, number: int) -> Counter[int]:
        """Return the buckets of so many verifications."""
        buckets = range(len(BOUNDS))
        if number < 100:
            return Counter(self._random.choices(buckets[: len(_DURATIONS)], _DURATIONS, k=number))
        jitter = self._random.uniform(0.9, 1.1)
        found = Counter({bucket: int(number * share * jitter / 1000) for bucket, share in enumerate(_DURATIONS)})
        found[_COMMONEST] += number - found.total()
        return +found


def _parts(number: int, parts: int) -> list[int]:
    """Return a number as a sum of so many parts, which differ by at most one."""
    return [number // parts + (place < number % parts) for place in range(parts)]
