"""Invalidations that wait for nothing, and epochs as numbers in the order of commits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, transaction

from core import epoch
from core.db import transactional, transactional_and_propagated
from core.errors import Conflict
from core.tests.changes import Waits, at_once, change, invalidated
from core.tests.models import Thing
from tests.support.instances import WAIT

pytestmark = pytest.mark.usefixtures("things")
for_real = pytest.mark.usefixtures("committed_things")  # other connections have to see the changes


@transactional
def invalidate_without_wait(*subjects: str, fail: bool = False) -> None:
    epoch.invalidate(*subjects, wait=False)
    if fail:
        raise Conflict


@transactional_and_propagated
def write(name: str, *subjects: str, fail: bool = False) -> None:
    """Write a row with the epoch of its transaction, and invalidate the subjects."""
    epoch.on_epoch(lambda number: Thing.objects.create(id=name, name=name, number=number))
    if subjects:
        epoch.invalidate(*subjects)
    if fail:
        raise Conflict


def numbers() -> dict[str, int]:
    """Return the number of every row by its name."""
    return dict(Thing.objects.values_list("name", "number"))


class TestInvalidateWithoutWait:
    def test_subjects_are_stored_like_others(self) -> None:
        invalidate_without_wait("agent_1", "tenant_1")
        change("key_1")
        invalidate_without_wait("agent_2")

        assert invalidated() == [(1, "agent_1"), (1, "tenant_1"), (2, "key_1"), (3, "agent_2")]
        assert sorted(epoch.invalidated_between(0, 3) or ()) == ["agent_1", "agent_2", "key_1", "tenant_1"]

    def test_service_does_not_wait(self, waits: Waits) -> None:
        invalidate_without_wait("agent_1")

        assert waits.seconds == []

    def test_service_waits_for_another_invalidation(self, waits: Waits) -> None:
        @transactional_and_propagated
        def both() -> None:
            epoch.invalidate("agent_1", wait=False)
            epoch.invalidate("key_1")
            epoch.invalidate("agent_2", wait=False)

        both()

        assert len(waits.seconds) == 1
        assert invalidated() == [(1, "agent_1"), (1, "agent_2"), (1, "key_1")]

    def test_refused_change_writes_nothing(self) -> None:
        with pytest.raises(Conflict):
            invalidate_without_wait("agent_1", fail=True)
        invalidate_without_wait("agent_2")

        assert invalidated() == [(1, "agent_2")]

    def test_outside_of_a_service_it_raises(self) -> None:
        with transaction.atomic(), pytest.raises(RuntimeError, match="transactional"):
            epoch.invalidate("agent_1", wait=False)


class TestOnEpoch:
    def test_callback_gets_the_epoch_of_its_transaction(self) -> None:
        write("first", "key_1")
        change("key_2")
        write("second", "key_3")

        assert numbers() == {"first": 1, "second": 3}
        assert invalidated() == [(1, "key_1"), (2, "key_2"), (3, "key_3")]
        assert epoch.current() == 3

    def test_rows_of_one_transaction_have_one_epoch(self) -> None:
        @transactional_and_propagated
        def several() -> None:
            write("first")
            write("second", "key_1")

        write("before")
        several()

        assert numbers() == {"before": 1, "first": 2, "second": 2}

    def test_service_does_not_wait_without_invalidation(self, waits: Waits) -> None:
        write("first")

        assert (numbers(), waits.seconds) == ({"first": 1}, [])

    def test_epoch_without_subjects_leaves_no_gap(self) -> None:
        change("key_1")
        write("a row")
        write("another")
        change("key_2")

        known = epoch.invalidated_between(0, 4)
        assert known is not None
        assert {"key_1", "key_2"} <= set(known)
        assert set(known) <= {"key_1", "key_2", epoch.NOTHING}

    def test_callback_runs_after_the_service(self) -> None:
        steps: list[str] = []

        @transactional
        def change() -> None:
            epoch.on_epoch(lambda number: steps.append(f"number {number}"))
            steps.append("the rest")

        change()

        assert steps == ["the rest", "number 1"]

    def test_refused_change_has_no_epoch(self, waits: Waits) -> None:
        with pytest.raises(Conflict):
            write("refused", "key_1", fail=True)
        assert (numbers(), epoch.current(), invalidated(), waits.seconds) == ({}, 0, [], [])

        write("made")
        assert numbers() == {"made": 1}

    def test_failing_callback_rolls_the_change_back(self) -> None:
        write("taken")

        @transactional
        def fails_at_the_end() -> None:
            Thing.objects.create(id="change", name="change")
            epoch.on_epoch(refuse)

        def refuse(number: int) -> None:
            raise Conflict

        with pytest.raises(Conflict):
            fails_at_the_end()

        assert (numbers(), epoch.current()) == ({"taken": 1}, 1)

    def test_retry_drops_the_callbacks_of_the_failed_attempt(self) -> None:
        attempts: list[int] = []

        @transactional_and_propagated
        def deadlock_once() -> None:
            attempts.append(1)
            write(f"attempt {len(attempts)}")
            if len(attempts) == 1:
                raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")

        deadlock_once()

        assert numbers() == {"attempt 2": 1}

    def test_outside_of_a_service_it_raises(self) -> None:
        with transaction.atomic(), pytest.raises(RuntimeError, match="transactional"):
            epoch.on_epoch(lambda number: None)


class TestOrderOfCommits:
    WRITERS, WRITES = 6, 12  # of which every fourth is refused
    ROWS = WRITERS * WRITES * 3 // 4

    @for_real
    def test_reader_who_sees_an_epoch_sees_all_before_it(self) -> None:
        def write_many(writer: int) -> None:
            for number in range(self.WRITES):
                if number % 4 == 3:
                    with pytest.raises(Conflict):
                        write(f"{writer} {number}", fail=True)
                else:
                    write(f"{writer} {number}")

        has_seen_some = False
        with ThreadPoolExecutor(self.WRITERS) as threads:
            writing = [at_once(threads, write_many, writer) for writer in range(self.WRITERS)]
            while not all(done.done() for done in writing):
                seen = sorted(numbers().values())
                assert seen == list(range(1, len(seen) + 1))
                has_seen_some |= 0 < len(seen) < self.ROWS
            for done in writing:
                done.result(WAIT)

        assert has_seen_some, "the reader looked while rows were still to come"
        assert sorted(numbers().values()) == list(range(1, self.ROWS + 1))
        assert invalidated() == [(number, epoch.NOTHING) for number in range(1, self.ROWS + 1)]
