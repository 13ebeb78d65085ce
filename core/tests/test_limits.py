"""The periods of quotas, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.limits import Period

pytestmark = pytest.mark.embedded

A_MOMENT = timedelta(microseconds=1)


def utc(year: int, month: int, day: int, *time: int) -> datetime:
    return datetime(year, month, day, *time, tzinfo=UTC)  # type: ignore[arg-type, misc]  # hours, minutes


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        (Period.DAY, utc(2026, 1, 31), utc(2026, 2, 1)),
        (Period.DAY, utc(2026, 12, 31), utc(2027, 1, 1)),
        (Period.DAY, utc(2028, 2, 28), utc(2028, 2, 29)),
        (Period.MONTH, utc(2026, 1, 1), utc(2026, 2, 1)),
        (Period.MONTH, utc(2026, 2, 1), utc(2026, 3, 1)),
        (Period.MONTH, utc(2028, 2, 1), utc(2028, 3, 1)),
        (Period.MONTH, utc(2026, 12, 1), utc(2027, 1, 1)),
    ],
)
def test_period_has_the_same_start_and_end_at_all_its_moments(period: Period, start: datetime, end: datetime) -> None:
    for moment in (start, start + (end - start) / 2, end - A_MOMENT):
        assert (period.start(moment), period.end(moment)) == (start, end)
    assert period.start(end) == end
    assert period.end(start - A_MOMENT) == start


def test_total_has_no_start_and_no_end() -> None:
    assert Period.TOTAL.start(utc(2026, 1, 31, 12)) is None
    assert Period.TOTAL.end(utc(2026, 1, 31, 12)) is None
