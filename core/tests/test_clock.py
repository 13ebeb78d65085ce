"""The one source of wall-clock time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from core import clock

pytestmark = pytest.mark.embedded

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_the_time_is_aware_and_in_utc() -> None:
    before = datetime.now(UTC)

    now = clock.now()

    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


def test_it_can_be_stopped_for_a_block_in_every_thread() -> None:
    with clock.frozen_at(NOON), ThreadPoolExecutor(1) as thread:
        assert clock.now() == NOON
        assert thread.submit(clock.now).result() == NOON

    assert clock.now() != NOON


def test_blocks_nest() -> None:
    later = NOON + timedelta(hours=1)

    with clock.frozen_at(NOON):
        with clock.frozen_at(later):
            assert clock.now() == later
        assert clock.now() == NOON


def test_it_goes_on_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), clock.frozen_at(NOON):
        _ = 1 / 0

    assert clock.now() != NOON
