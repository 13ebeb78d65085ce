"""Uses of keys, agents and tenants by day, and verifications by hour and outcome that agree with them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

from apikeys.models import DailyUse, HourCount, MinuteCount
from apikeys.outcomes import INSTALLATION
from apikeys.verification import VALID, VerdictCode
from core.audit_chain.entries import time_text
from demo.context import Context
from demo.population import Bot, Site

DAYS = 90
# The last days of which verifications are by hour; the last hours are by minute.
_HOURLY_DAYS = 30
_MINUTES_SINCE = timedelta(hours=1)
_HOUR = timedelta(hours=1)
# How busy the hours of a day are, in UTC: most people of this history live eight hours ahead.
_BUSY = (9, 10, 10, 9, 8, 9, 11, 12, 12, 11, 10, 10, 12, 14, 13, 9, 5, 3, 2, 1, 1, 2, 4, 7)
# A day with fewer uses is of a few hours.
_FEW = 200


class Uses:
    """Sums of uses, which are kept in flat arrays, because there may be a hundred thousand agents."""

    def __init__(self, context: Context, bots: Sequence[Bot], sites: Sequence[Site]) -> None:
        self.first_day = context.now.date() - timedelta(days=DAYS - 1)
        self._random, self._now, self._storage = context.random, context.now, context.storage
        self._bots, self._of_bots = bots, array("Q", bytes(8 * DAYS * len(bots)))
        self._sites, self._of_sites = sites, array("Q", bytes(8 * DAYS * len(sites)))
        self._refused: Counter[tuple[str, datetime, str]] = Counter()

    def add(self, key_id: str, bot: Bot, day: int, number: int) -> None:
        """Add uses of a key on a day, counted from `first_day`."""
        self._write(key_id, bot.row.tenant_id, day, number)
        self._of_bots[DAYS * bot.number + day] += number
        self._of_sites[DAYS * bot.site.number + day] += number

    def refuse(self, tenant_id: str, at: datetime, code: VerdictCode, number: int) -> None:
        """Add refused verifications of a tenant's keys."""
        self._refused[tenant_id, _hour_of(at), code.value] += number

    def finish(self) -> None:
        """Write the sums of agents and tenants, and the verifications."""
        for bot in self._bots:
            self._write_sums(bot.row.pk, bot.row.tenant_id, self._of_bots, bot.number)
        for site in self._sites:
            self._write_sums(site.row.pk, site.row.pk, self._of_sites, site.number)
        total: Counter[tuple[datetime, str]] = Counter()
        for tenant_id, hour, code, number in self._verifications():
            total[hour, code] += number
            self._write_hour(tenant_id, hour, code, number)
        # Of texts that are no key, and of keys that nobody knows, no tenant is told.
        for hour in sorted({hour for hour, _code in total}):
            for code in (VerdictCode.UNKNOWN, VerdictCode.MALFORMED):
                total[hour, code.value] += self._random.randrange(1, 3 + total[hour, VALID.value] // 200)
        for (hour, code), number in sorted(total.items()):
            self._write_hour(INSTALLATION, hour, code, number)

    def _write(self, subject: str, tenant_id: str, day: int, number: int) -> None:
        on = self.first_day + timedelta(days=day)
        self._storage.add_count(DailyUse, subject, on.isoformat(), tenant_id, number)

    def _write_sums(self, subject: str, tenant_id: str, sums: array[int], place: int) -> None:
        for day, number in enumerate(sums[DAYS * place : DAYS * (place + 1)]):
            if number:
                self._write(subject, tenant_id, day, number)

    def _verifications(self) -> Iterator[tuple[str, datetime, str, int]]:
        for site in self._sites:
            for day in range(DAYS - _HOURLY_DAYS, DAYS):
                number = self._of_sites[DAYS * site.number + day]
                for hour, part in self._spread(number, self.first_day + timedelta(days=day)):
                    yield site.row.pk, hour, VALID.value, part
        for (tenant_id, hour, code), number in self._refused.items():
            yield tenant_id, hour, code, number

    def _spread(self, number: int, day: date) -> Iterator[tuple[datetime, int]]:
        """Yield the hours of a day that have a part of its uses."""
        past = self._now.hour + 1 if day == self._now.date() else 24
        hours = list(range(past))
        if number < _FEW:
            hours = sorted(self._random.sample(hours, min(past, 1 + number // 20)))
        weight = sum(_BUSY[hour] for hour in hours)
        parts = {hour: number * _BUSY[hour] // weight for hour in hours}
        parts[hours[-1]] += number - sum(parts.values())
        for hour, part in parts.items():
            if part:
                yield datetime.combine(day, time(hour), UTC), part

    def _write_hour(self, tenant_id: str, hour: datetime, code: str, number: int) -> None:
        if hour < _hour_of(self._now) - _MINUTES_SINCE:
            self._storage.add_count(HourCount, tenant_id, time_text(hour), code, number)
            return
        minutes = min(60, (self._now - hour) // timedelta(minutes=1) + 1)
        used = min(minutes, number)
        for place in range(used):
            start = hour + timedelta(minutes=place * minutes // used)
            part = number // used + (place < number % used)
            self._storage.add_count(MinuteCount, tenant_id, time_text(start), code, part)


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
