"""The epoch: what a change says is untrue, when that is written, and how long its answer waits."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from time_machine import travel

from core import epoch
from core.db import transactional
from core.errors import Conflict, Unavailable
from core.models import Epoch, Invalidation
from core.tests.changes import WAIT, Waits, at_once, change, invalidated
from core.tests.models import Thing
from tests.support.instances import wait_until

pytestmark = pytest.mark.usefixtures("things")
for_real = pytest.mark.usefixtures("committed_things")  # where other connections have to see it
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class TestInvalidating:
    def test_each_change_is_one_epoch_with_all_its_subjects(self) -> None:
        change("key_1", "agent_1")
        change("key_2")
        change("key_2")

        assert epoch.current() == 3
        assert invalidated() == [(1, "agent_1"), (1, "key_1"), (2, "key_2"), (3, "key_2")]

    def test_before_the_first_the_epoch_is_nought(self) -> None:
        assert epoch.current() == 0
        assert epoch.invalidated_between(0, 0) == []

    def test_a_subject_named_twice_is_written_once(self) -> None:
        @transactional
        def twice() -> None:
            epoch.invalidate("key_1", "key_1")
            epoch.invalidate("key_1")

        twice()

        assert invalidated() == [(1, "key_1")]

    def test_a_change_that_invalidates_nothing_moves_no_epoch_and_does_not_wait(self, waits: Waits) -> None:
        change(name="a thing")

        assert (epoch.current(), waits.seconds) == (0, [])
        assert Thing.objects.exists()

    @for_real
    def test_the_invalidation_is_written_last_in_the_changes_own_transaction(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            change("key_1", name="a thing")

        statements = [query["sql"] for query in captured.captured_queries]
        writes = [sql for sql in statements if sql.startswith(("INSERT", "UPDATE"))]
        assert "test_thing" in writes[0]
        assert all("common_epoch" in sql or "common_invalidation" in sql for sql in writes[1:])
        assert "common_invalidation" in writes[-1]
        assert statements[statements.index(writes[-1]) + 1 :] == ["COMMIT"]
        assert statements.count("COMMIT") == 1

    def test_after_a_refusal_there_is_nothing_of_it(self, waits: Waits) -> None:
        with pytest.raises(Conflict):
            change("key_1", name="a thing", fail=True)

        assert (epoch.current(), invalidated(), waits.seconds) == (0, [], [])
        assert not Thing.objects.exists()

    def test_a_refused_change_leaves_nothing_to_the_next(self) -> None:
        with pytest.raises(Conflict):
            change("key_1", fail=True)
        change("key_2")

        assert invalidated() == [(1, "key_2")]

    def test_a_retry_does_not_keep_what_the_failed_attempt_named(self) -> None:
        attempts: list[int] = []

        @transactional
        def deadlock_once() -> None:
            attempts.append(1)
            epoch.invalidate(f"attempt_{len(attempts)}")
            if len(attempts) == 1:
                raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")

        deadlock_once()

        assert invalidated() == [(1, "attempt_2")]

    def test_outside_of_a_service_it_is_a_bug(self) -> None:
        with pytest.raises(RuntimeError, match="transactional"):
            epoch.invalidate("key_1")
        with transaction.atomic(), pytest.raises(RuntimeError, match="transactional"):
            epoch.invalidate("key_1")

    def test_more_subjects_than_are_worth_naming_are_everything(self) -> None:
        change(*(f"key_{number}" for number in range(500)))
        change(*(f"key_{number}" for number in range(501)))

        assert len(invalidated()) == 501
        assert invalidated()[-1] == (2, epoch.EVERYTHING)

    @for_real
    def test_the_first_ever_may_be_two_at_once(self) -> None:
        ready = threading.Barrier(2, timeout=WAIT)
        holds_rows_apart = connection.features.has_select_for_update  # SQLite lets one in at a time

        @transactional
        def first(subject: str) -> None:
            epoch.invalidate(subject)
            if holds_rows_apart:
                ready.wait()

        with ThreadPoolExecutor(2) as threads:
            for done in [at_once(threads, first, subject) for subject in ("key_1", "key_2")]:
                done.result(WAIT)

        assert Epoch.objects.get().value == 2
        assert sorted(subject for _epoch, subject in invalidated()) == ["key_1", "key_2"]
        assert [number for number, _subject in invalidated()] == [1, 2]


class TestLookingBack:
    def test_at_what_was_invalidated_since(self) -> None:
        for subject in ("key_1", "key_2", "key_3"):
            change(subject)

        assert sorted(epoch.invalidated_between(1, 3) or ()) == ["key_2", "key_3"]
        assert epoch.invalidated_between(0, 1) == ["key_1"]
        assert epoch.invalidated_between(3, 3) == []

    @pytest.mark.parametrize("lost", [1, 2, 3])
    def test_with_a_gap_anything_may_be_untrue(self, lost: int) -> None:
        for subject in ("key_1", "key_2", "key_3"):
            change(subject)

        Invalidation.objects.filter(epoch=lost).delete()

        assert epoch.invalidated_between(0, 3) is None
        assert epoch.invalidated_between(lost, 3) is not None

    def test_everything_is_everything(self) -> None:
        change("key_1")
        change(*(f"key_{number}" for number in range(501)))

        assert epoch.invalidated_between(0, 1) == ["key_1"]
        assert epoch.invalidated_between(0, 2) is None

    def test_what_every_worker_has_long_seen_is_swept(self) -> None:
        with travel(NOON, tick=False):
            change("key_1")
        with travel(NOON + timedelta(minutes=30), tick=False):
            change("key_2")

        with travel(NOON + epoch.KEPT_FOR + timedelta(seconds=1), tick=False):
            swept = epoch.sweep()

        assert (swept, invalidated(), epoch.current()) == (1, [(2, "key_2")], 2)
        assert epoch.invalidated_between(0, 2) is None


class TestSettling:
    @for_real
    def test_a_change_is_answered_a_lease_after_its_commit(self, waits: Waits) -> None:
        change("key_1", name="a thing")

        assert waits.seconds == [epoch.PROPAGATION_SECONDS]
        assert waits.inside_a_transaction == [False]

    def test_several_changes_wait_once(self, waits: Waits) -> None:
        with epoch.settling():
            change("key_1")
            with epoch.settling():
                change("key_2")
            change("key_3")
            assert waits.seconds == []

        assert len(waits.seconds) == 1
        assert epoch.current() == 3

    def test_one_that_names_nothing_writes_nothing_and_waits(self, waits: Waits) -> None:
        """What it answers may be another's change, which is still waiting."""

        @transactional
        def repeat() -> None:
            epoch.invalidate()

        repeat()

        assert (epoch.current(), len(waits.seconds)) == (0, 1)

    def test_a_failure_waits_for_what_was_committed_before_it(self, waits: Waits) -> None:
        def fails_midway() -> None:
            with epoch.settling():
                change("key_1")
                change("key_2", fail=True)

        with pytest.raises(Conflict):
            fails_midway()

        assert len(waits.seconds) == 1
        assert invalidated() == [(1, "key_1")]

    def test_a_service_inside_another_is_part_of_it(self, waits: Waits) -> None:
        @transactional
        def outer() -> None:
            change("key_1", name="a thing")
            change("key_2")
            epoch.invalidate("key_3")
            assert waits.seconds == []

        outer()

        assert invalidated() == [(1, "key_1"), (1, "key_2"), (1, "key_3")]
        assert len(waits.seconds) == 1

    def test_what_an_inner_service_invalidated_goes_with_the_outer_ones_failure(self, waits: Waits) -> None:
        @transactional
        def outer() -> None:
            change("key_1", name="a thing")
            raise Conflict

        with pytest.raises(Conflict):
            outer()

        assert (invalidated(), waits.seconds) == ([], [])

    @for_real
    def test_it_does_not_wait_inside_a_plain_transaction_but_refuses(self) -> None:
        """It would wait before the commit, and promise what is not yet so."""
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
            change("key_1")

        assert invalidated() == []
        change("key_2")
        assert invalidated() == [(1, "key_2")]


class TestHowManyMayWait:
    @for_real
    def test_the_ninth_is_refused_and_writes_nothing(self, waits: Waits) -> None:
        waits.go_on.clear()
        with ThreadPoolExecutor(epoch.MAX_SETTLING) as threads:
            settling = [at_once(threads, partial(change, f"key_{number}", name=str(number))) for number in range(8)]
            wait_until(lambda: len(waits.seconds) == 8, "eight changes wait")

            with pytest.raises(Unavailable) as refusal:
                change("key_8", name="the ninth")

            assert refusal.value.retry_after >= 1
            assert epoch.current() == 8
            assert not Thing.objects.filter(name="the ninth").exists()

            change(name="invalidates nothing")  # has nothing to wait for
            waits.go_on.set()
            for done in settling:
                done.result(WAIT)

        assert Thing.objects.count() == 9
        change("key_8", name="the ninth")

    def test_changes_made_together_take_one_place(self, waits: Waits) -> None:
        with epoch.settling():
            for number in range(2 * epoch.MAX_SETTLING):
                change(f"key_{number}")

        assert epoch.current() == 2 * epoch.MAX_SETTLING

    def test_a_refused_change_gives_its_place_back(self) -> None:
        for _ in range(2 * epoch.MAX_SETTLING):
            with pytest.raises(Conflict):
                change("key_1", fail=True)

        change("key_1")

    def test_a_change_gives_its_place_back(self) -> None:
        for _ in range(2 * epoch.MAX_SETTLING):
            change("key_1")

        assert epoch.current() == 2 * epoch.MAX_SETTLING
