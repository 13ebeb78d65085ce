"""Durations of verifications: counted in memory, summed over all workers, and read as quantiles."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from time_machine import travel

from apikeys import durations
from apikeys.durations import BOUNDS, quantile
from apikeys.models import VerificationTime
from apikeys.periods import DAY, HOUR, MINUTE
from apikeys.tests.test_counting import committing_without_an_answer, refusing
from apikeys.tests.test_outcomes import rows_read
from apikeys.verification.counting import UseCounter

NOON = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def _at_noon() -> Iterator[None]:
    with travel(NOON, tick=False):
        yield


def numbers_of(*seconds: float) -> list[int]:
    counter = UseCounter()
    for each in seconds:
        counter.durations.add(each)
    return counter.durations.take()


@pytest.mark.embedded
class TestQuantiles:
    def test_nothing_has_no_quantile(self) -> None:
        assert quantile([0] * (len(BOUNDS) + 1), 0.5) is None
        assert numbers_of() == []

    def test_quantile_lies_in_the_bucket_of_what_has_its_rank(self) -> None:
        """Given 98 verifications of 30 µs and two of 300 ms."""
        numbers = numbers_of(*[0.00003] * 98, 0.3, 0.3)

        median, last = quantile(numbers, 0.5), quantile(numbers, 0.99)

        assert median is not None
        assert last is not None
        assert 0.00002 < median <= 0.00005
        assert 0.2 < last <= 0.5

    def test_quantiles_are_interpolated_in_their_bucket(self) -> None:
        numbers = numbers_of(*[0.0015] * 10)

        assert [round(quantile(numbers, part) or 0, 6) for part in (0.1, 0.5, 1.0)] == [0.0011, 0.0015, 0.002]

    def test_what_takes_longer_than_all_bounds_is_told_as_the_last(self) -> None:
        assert quantile(numbers_of(60.0), 0.99) == BOUNDS[-1]

    def test_duration_at_a_bound_is_within_it(self) -> None:
        assert [number for number, count in enumerate(numbers_of(*BOUNDS)) if count] == list(range(len(BOUNDS)))


@pytest.mark.django_db
@pytest.mark.usefixtures("_at_noon")
class TestStored:
    def test_all_workers_add_to_the_same_periods(self) -> None:
        for counter in (UseCounter(), UseCounter()):
            counter.durations.add(0.0015)
            counter.write()

        for length in (MINUTE, HOUR, DAY):
            *before, last = durations.read(length, 3)
            assert (last.number, last.p50) == (2, 0.0015)
            assert last.start <= NOON < last.start + length
            assert [(each.number, each.p50, each.p99) for each in before] == [(0, None, None)] * 2

    def test_old_periods_are_swept(self) -> None:
        for ago in (timedelta(0), timedelta(hours=3), timedelta(days=3), timedelta(days=91)):
            with travel(NOON - ago, tick=False):
                durations.add([1])

        durations.sweep()

        left = sorted(VerificationTime.objects.values_list("minutes", flat=True))
        assert left == [1, 60, 60, 1440, 1440]

    @pytest.mark.needs_mariadb
    def test_series_reads_at_most_twenty_rows_for_each_period(self) -> None:
        for ago in range(200):
            with travel(NOON - ago * MINUTE, tick=False):
                durations.add([1] * (len(BOUNDS) + 1))

        with rows_read(at_most=60 * 20):
            assert durations.read(MINUTE, 60)[0].number == len(BOUNDS) + 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_at_noon")
class TestADatabaseThatRefuses:
    def test_database_that_refuses_loses_none(self) -> None:
        counter = UseCounter()
        counter.durations.add(0.0015)
        with refusing([], when=lambda sql: "apikeys_verificationtime" in sql):
            counter.write()
        counter.durations.add(0.0015)

        counter.write()
        counter.write()

        assert durations.read(MINUTE, 1)[0].number == 2

    def test_commit_without_an_answer_is_not_repeated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counter = UseCounter()
        counter.durations.add(0.0015)
        with committing_without_an_answer(monkeypatch):
            counter.write()

        counter.write()

        assert durations.read(MINUTE, 1)[0].number == 1
