"""What a transaction announces, and the numbers that transactions have in the order of their commits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, transaction

from core import epoch
from core.db import transactional
from core.errors import Conflict
from core.tests.changes import WAIT, Waits, at_once, change, invalidated
from core.tests.models import Thing
from tests.support.instances import wait_until

pytestmark = pytest.mark.usefixtures("things")
for_real = pytest.mark.usefixtures("committed_things")  # where other connections have to see it


@transactional
def announce(*subjects: str, fail: bool = False) -> None:
    """A service that announces what it changes."""
    epoch.announce(*subjects)
    if fail:
        raise Conflict


@transactional
def write(name: str, *subjects: str, fail: bool = False) -> None:
    """A service that writes a row with its number; and invalidates, where it is given subjects."""
    epoch.numbered(lambda number: Thing.objects.create(id=name, name=name, number=number))
    if subjects:
        epoch.invalidate(*subjects)
    if fail:
        raise Conflict


def numbers() -> dict[str, int]:
    """Every row that was written, with its number."""
    return dict(Thing.objects.values_list("name", "number"))


class TestAnnouncing:
    def test_workers_are_told_as_of_an_invalidation(self) -> None:
        announce("agent_1", "tenant_1")
        change("key_1")
        announce("agent_2")

        assert invalidated() == [(1, "agent_1"), (1, "tenant_1"), (2, "key_1"), (3, "agent_2")]
        assert sorted(epoch.invalidated_between(0, 3) or ()) == ["agent_1", "agent_2", "key_1", "tenant_1"]

    def test_it_waits_for_nothing(self, waits: Waits) -> None:
        announce("agent_1")

        assert waits.seconds == []

    def test_an_invalidation_beside_it_waits(self, waits: Waits) -> None:
        @transactional
        def both() -> None:
            epoch.announce("agent_1")
            epoch.invalidate("key_1")
            epoch.announce("agent_2")

        both()

        assert len(waits.seconds) == 1
        assert invalidated() == [(1, "agent_1"), (1, "agent_2"), (1, "key_1")]

    @for_real
    def test_it_takes_no_place_among_those_who_wait(self, waits: Waits) -> None:
        waits.go_on.clear()
        with ThreadPoolExecutor(epoch.MAX_SETTLING) as threads:
            settling = [at_once(threads, change, f"key_{number}") for number in range(epoch.MAX_SETTLING)]
            wait_until(lambda: len(waits.seconds) == epoch.MAX_SETTLING, "all places are taken")

            announce("agent_1")

            waits.go_on.set()
            for done in settling:
                done.result(WAIT)

        assert (epoch.MAX_SETTLING + 1, "agent_1") in invalidated()

    def test_after_a_refusal_there_is_nothing_of_it(self) -> None:
        with pytest.raises(Conflict):
            announce("agent_1", fail=True)
        announce("agent_2")

        assert invalidated() == [(1, "agent_2")]

    def test_outside_of_a_service_it_is_a_bug(self) -> None:
        with transaction.atomic(), pytest.raises(RuntimeError, match="transactional"):
            epoch.announce("agent_1")


class TestNumbers:
    def test_are_the_epochs_of_their_transactions(self) -> None:
        write("first", "key_1")
        change("key_2")
        write("second", "key_3")

        assert numbers() == {"first": 1, "second": 3}
        assert invalidated() == [(1, "key_1"), (2, "key_2"), (3, "key_3")]
        assert epoch.current() == 3

    def test_are_one_for_all_that_is_written_together(self) -> None:
        @transactional
        def several() -> None:
            write("first")
            write("second", "key_1")

        write("before")
        several()

        assert numbers() == {"before": 1, "first": 2, "second": 2}

    def test_of_what_invalidates_nothing_wait_for_nothing(self, waits: Waits) -> None:
        write("first")

        assert (numbers(), waits.seconds) == ({"first": 1}, [])

    def test_leave_no_gap_for_which_workers_would_forget_everything(self) -> None:
        change("key_1")
        write("a row")
        write("another")
        change("key_2")

        known = epoch.invalidated_between(0, 4)
        assert known is not None
        assert {"key_1", "key_2"} <= set(known)
        assert set(known) <= {"key_1", "key_2", epoch.NOTHING}

    def test_are_given_out_when_all_else_is_done(self) -> None:
        steps: list[str] = []

        @transactional
        def change() -> None:
            epoch.numbered(lambda number: steps.append(f"number {number}"))
            steps.append("the rest")

        change()

        assert steps == ["the rest", "number 1"]

    def test_of_what_is_refused_are_nobodys(self, waits: Waits) -> None:
        with pytest.raises(Conflict):
            write("refused", "key_1", fail=True)
        assert (numbers(), epoch.current(), invalidated(), waits.seconds) == ({}, 0, [], [])

        write("made")
        assert numbers() == {"made": 1}

    def test_that_cannot_be_written_take_the_whole_change_with_them(self) -> None:
        write("taken")

        @transactional
        def fails_at_the_end() -> None:
            Thing.objects.create(id="change", name="change")
            epoch.numbered(refuse)

        def refuse(number: int) -> None:
            raise Conflict

        with pytest.raises(Conflict):
            fails_at_the_end()

        assert (numbers(), epoch.current()) == ({"taken": 1}, 1)

    def test_of_a_failed_attempt_are_not_written_at_the_next(self) -> None:
        attempts: list[int] = []

        @transactional
        def deadlock_once() -> None:
            attempts.append(1)
            write(f"attempt {len(attempts)}")
            if len(attempts) == 1:
                raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")

        deadlock_once()

        assert numbers() == {"attempt 2": 1}

    def test_outside_of_a_service_are_a_bug(self) -> None:
        with transaction.atomic(), pytest.raises(RuntimeError, match="transactional"):
            epoch.numbered(lambda number: None)


class TestTheOrderOfCommits:
    WRITERS, WRITES = 6, 12  # of which every fourth is refused
    ROWS = WRITERS * WRITES * 3 // 4

    @for_real
    def test_whoever_has_seen_a_number_has_seen_all_before_it(self) -> None:
        """Looked at while several write, and some are refused."""

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

        assert has_seen_some, "and others were still to come"
        assert sorted(numbers().values()) == list(range(1, self.ROWS + 1))
        assert invalidated() == [(number, epoch.NOTHING) for number in range(1, self.ROWS + 1)]
