"""The limiter in memory removes windows that nobody uses any more, such as those of deleted keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from time_machine import travel

from apikeys.tests.limiting import MINUTE, fresh, left, rate, take
from apikeys.verification.limits import InMemoryLimiter
from apikeys.verification.limits.memory import SWEEP_EVERY_SECONDS

pytestmark = pytest.mark.embedded

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_unused_windows_are_removed_once_they_are_empty() -> None:
    limiter, asked = InMemoryLimiter(), rate(5)
    with travel(NOON, tick=False):
        for _ in range(20):
            take(limiter, rate(5), rate(5, subject=fresh("agent")))
        take(limiter, asked)
    with travel(NOON + timedelta(seconds=SWEEP_EVERY_SECONDS), tick=False):
        take(limiter, asked)

    assert list(limiter._windows) == [asked.subject]


def test_uses_within_the_window_are_kept() -> None:
    limiter, hour = InMemoryLimiter(), rate(5, 3600)
    for minutes in (0, 50):
        with travel(NOON + timedelta(minutes=minutes), tick=False):
            take(limiter, hour)

    with travel(NOON + timedelta(minutes=109), tick=False):
        take(limiter, rate(1))  # and sweeps
        assert left(take(limiter, hour, consume=False)) == (4, None), "the second is still in the window"
    with travel(NOON + timedelta(minutes=120), tick=False):
        take(limiter, rate(1))
        assert hour.subject not in limiter._windows


def test_extended_window_is_kept_longer() -> None:
    limiter, subject = InMemoryLimiter(), fresh()
    with travel(NOON, tick=False):
        take(limiter, rate(5, MINUTE, subject))
    with travel(NOON + timedelta(seconds=MINUTE - 1), tick=False):
        take(limiter, rate(5, 3600, subject))

    with travel(NOON + timedelta(seconds=SWEEP_EVERY_SECONDS + 1), tick=False):
        take(limiter, rate(1))
        assert left(take(limiter, rate(5, 3600, subject), consume=False)) == (3, None)


def test_full_window_empties_in_time_after_the_clock_was_set_back() -> None:
    limiter, limit = InMemoryLimiter(), rate(2)
    for seconds in (0, 20):
        with travel(NOON + timedelta(hours=1, seconds=seconds), tick=False):
            take(limiter, limit)

    with travel(NOON, tick=False):
        refused = take(limiter, limit)
    with travel(NOON + timedelta(seconds=MINUTE - 20), tick=False):
        assert not take(limiter, limit).is_exceeded
        assert take(limiter, limit).is_exceeded, "the second use is still in the window"

    assert (refused.is_exceeded, refused.retry_after) == (True, MINUTE - 20)


def test_clock_that_is_set_back_does_not_delay_the_sweep() -> None:
    limiter, gone = InMemoryLimiter(), rate(5)
    with travel(NOON + timedelta(days=300), tick=False):
        take(limiter, rate(5))
    with travel(NOON, tick=False):
        take(limiter, gone)
    with travel(NOON + timedelta(seconds=SWEEP_EVERY_SECONDS), tick=False):
        take(limiter, rate(5))

    assert gone.subject not in limiter._windows
