"""The epoch: what a change invalidates, when that is written, and how long the service waits for workers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from time_machine import travel

from core import epoch
from core.db import transactional, transactional_and_propagated
from core.errors import Conflict
from core.models import Epoch, Invalidation
from core.tests.changes import Waits, at_once, change, invalidated
from core.tests.models import Thing
from tests.support.instances import WAIT

pytestmark = pytest.mark.usefixtures("things")
for_real = pytest.mark.usefixtures("committed_things")  # other connections have to see the changes
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class TestInvalidate:
    def test_each_change_is_one_epoch_with_all_its_subjects(self) -> None:
        change("key_1", "agent_1")
        change("key_2")
        change("key_2")

        assert epoch.current() == 3
        assert invalidated() == [(1, "agent_1"), (1, "key_1"), (2, "key_2"), (3, "key_2")]

    def test_epoch_is_zero_before_the_first_change(self) -> None:
        assert epoch.current() == 0
        assert epoch.invalidated_between(0, 0) == []

    def test_a_subject_named_twice_is_written_once(self) -> None:
        @transactional_and_propagated
        def twice() -> None:
            epoch.invalidate("key_1", "key_1")
            epoch.invalidate("key_1")

        twice()

        assert invalidated() == [(1, "key_1")]

    def test_change_without_invalidation_leaves_the_epoch_and_does_not_wait(self, waits: Waits) -> None:
        change(name="a thing")

        assert (epoch.current(), waits.seconds) == (0, [])
        assert Thing.objects.exists()

    @for_real
    def test_invalidation_is_written_last_in_the_transaction_of_its_change(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            change("key_1", name="a thing")

        statements = [query["sql"] for query in captured.captured_queries]
        writes = [sql for sql in statements if sql.startswith(("INSERT", "UPDATE"))]
        assert "test_thing" in writes[0]
        assert all("common_epoch" in sql or "common_invalidation" in sql for sql in writes[1:])
        assert "common_invalidation" in writes[-1]
        assert statements[statements.index(writes[-1]) + 1 :] == ["COMMIT"]
        assert statements.count("COMMIT") == 1

    def test_refused_change_writes_nothing(self, waits: Waits) -> None:
        with pytest.raises(Conflict):
            change("key_1", name="a thing", fail=True)

        assert (epoch.current(), invalidated(), waits.seconds) == (0, [], [])
        assert not Thing.objects.exists()

    def test_refused_change_leaves_no_subjects_to_the_next(self) -> None:
        with pytest.raises(Conflict):
            change("key_1", fail=True)
        change("key_2")

        assert invalidated() == [(1, "key_2")]

    def test_retry_drops_the_subjects_of_the_failed_attempt(self) -> None:
        attempts: list[int] = []

        @transactional_and_propagated
        def deadlock_once() -> None:
            attempts.append(1)
            epoch.invalidate(f"attempt_{len(attempts)}")
            if len(attempts) == 1:
                raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")

        deadlock_once()

        assert invalidated() == [(1, "attempt_2")]

    def test_outside_of_a_service_it_raises(self) -> None:
        with pytest.raises(RuntimeError, match="transactional"):
            epoch.invalidate("key_1")
        with transaction.atomic(), pytest.raises(RuntimeError, match="transactional"):
            epoch.invalidate("key_1")

    def test_more_than_1000_subjects_invalidate_everything(self) -> None:
        change(*(f"key_{number}" for number in range(1000)))
        change(*(f"key_{number}" for number in range(1001)))

        assert len(invalidated()) == 1001
        assert invalidated()[-1] == (2, epoch.EVERYTHING)

    @for_real
    def test_first_two_changes_may_come_at_once(self) -> None:
        ready = threading.Barrier(2, timeout=WAIT)
        holds_rows_apart = connection.features.has_select_for_update  # SQLite lets one in at a time

        @transactional_and_propagated
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


class TestInvalidatedBetween:
    def test_returns_the_subjects_of_later_epochs(self) -> None:
        for subject in ("key_1", "key_2", "key_3"):
            change(subject)

        assert sorted(epoch.invalidated_between(1, 3) or ()) == ["key_2", "key_3"]
        assert epoch.invalidated_between(0, 1) == ["key_1"]
        assert epoch.invalidated_between(3, 3) == []

    @pytest.mark.parametrize("lost", [1, 2, 3])
    def test_returns_none_where_an_epoch_is_missing(self, lost: int) -> None:
        for subject in ("key_1", "key_2", "key_3"):
            change(subject)

        Invalidation.objects.filter(epoch=lost).delete()

        assert epoch.invalidated_between(0, 3) is None
        assert epoch.invalidated_between(lost, 3) is not None

    def test_returns_none_where_everything_was_invalidated(self) -> None:
        change("key_1")
        change(*(f"key_{number}" for number in range(1001)))

        assert epoch.invalidated_between(0, 1) == ["key_1"]
        assert epoch.invalidated_between(0, 2) is None

    def test_old_invalidations_are_swept(self) -> None:
        with travel(NOON, tick=False):
            change("key_1")
        with travel(NOON + timedelta(minutes=30), tick=False):
            change("key_2")

        with travel(NOON + epoch.KEPT_FOR + timedelta(seconds=1), tick=False):
            swept = epoch.sweep()

        assert (swept, invalidated(), epoch.current()) == (1, [(2, "key_2")], 2)
        assert epoch.invalidated_between(0, 2) is None


class TestWaitForWorkers:
    @for_real
    def test_service_returns_one_lease_after_its_commit(self, waits: Waits) -> None:
        change("key_1", name="a thing")

        assert waits.seconds == [epoch.PROPAGATION_SECONDS]
        assert waits.inside_a_transaction == [False]

    def test_changes_in_one_block_wait_once(self, waits: Waits) -> None:
        with epoch.wait_for_workers():
            change("key_1")
            with epoch.wait_for_workers():
                change("key_2")
            change("key_3")
            assert waits.seconds == []

        assert len(waits.seconds) == 1
        assert epoch.current() == 3

    def test_invalidation_without_subjects_waits_and_writes_nothing(self, waits: Waits) -> None:

        @transactional_and_propagated
        def repeat() -> None:
            epoch.invalidate()

        repeat()

        assert (epoch.current(), len(waits.seconds)) == (0, 1)

    def test_wait_is_over_where_a_lease_has_passed_since_the_commit(self, waits: Waits) -> None:
        with epoch.wait_for_workers():
            change("key_1")
            waits.now += epoch.PROPAGATION_SECONDS

        assert waits.seconds == []

    def test_failed_block_waits_for_the_changes_committed_before(self, waits: Waits) -> None:
        def fails_midway() -> None:
            with epoch.wait_for_workers():
                change("key_1")
                change("key_2", fail=True)

        with pytest.raises(Conflict):
            fails_midway()

        assert len(waits.seconds) == 1
        assert invalidated() == [(1, "key_1")]

    def test_inner_service_joins_the_outer_one(self, waits: Waits) -> None:
        @transactional_and_propagated
        def outer() -> None:
            change("key_1", name="a thing")
            change("key_2")
            epoch.invalidate("key_3")
            assert waits.seconds == []

        outer()

        assert invalidated() == [(1, "key_1"), (1, "key_2"), (1, "key_3")]
        assert len(waits.seconds) == 1

    def test_failed_outer_service_drops_what_the_inner_one_invalidated(self, waits: Waits) -> None:
        @transactional_and_propagated
        def outer() -> None:
            change("key_1", name="a thing")
            raise Conflict

        with pytest.raises(Conflict):
            outer()

        assert (invalidated(), waits.seconds) == ([], [])

    def test_inside_a_service_that_never_waits_invalidating_raises(self) -> None:
        @transactional
        def plain() -> None:
            epoch.invalidate("key_1")

        with pytest.raises(RuntimeError, match="transactional_and_propagated"):
            plain()

        assert invalidated() == []

    def test_inside_a_service_that_never_waits_a_propagated_service_raises(self) -> None:
        @transactional
        def plain() -> None:
            change(name="a thing")

        with pytest.raises(RuntimeError, match="change is called by a service that is not propagated"):
            plain()

        assert not Thing.objects.exists()

    def test_inside_a_propagated_service_one_that_never_waits_may_invalidate(self, waits: Waits) -> None:
        @transactional
        def plain() -> None:
            epoch.invalidate("key_1")

        @transactional_and_propagated
        def outer() -> None:
            plain()

        outer()

        assert invalidated() == [(1, "key_1")]
        assert len(waits.seconds) == 1

    @for_real
    def test_inside_atomic_it_raises(self) -> None:
        """It would wait before the commit."""
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
            change("key_1")

        assert invalidated() == []
        change("key_2")
        assert invalidated() == [(1, "key_2")]


class TestDeferWait:
    def test_changes_do_not_wait_themselves(self, waits: Waits) -> None:
        with epoch.defer_wait() as wait:
            change("key_1")
            with epoch.wait_for_workers():
                change("key_2")

        assert waits.seconds == []
        assert wait.seconds_left == epoch.PROPAGATION_SECONDS

    def test_without_an_invalidation_no_wait_is_left(self, waits: Waits) -> None:
        with epoch.defer_wait() as wait:
            change(name="a thing")

        assert wait.seconds_left == 0

    def test_wait_left_ends_one_lease_after_the_last_commit(self, waits: Waits) -> None:
        with epoch.defer_wait() as wait:
            change("key_1")
            waits.now += 0.1
            change("key_2")
        waits.now += 0.2

        assert wait.seconds_left == pytest.approx(epoch.PROPAGATION_SECONDS - 0.2)

    def test_failed_change_leaves_the_wait_of_those_before(self, waits: Waits) -> None:
        with epoch.defer_wait() as wait:
            change("key_1")
            with pytest.raises(Conflict):
                change("key_2", fail=True)

        assert wait.seconds_left == epoch.PROPAGATION_SECONDS

    def test_next_block_begins_anew(self, waits: Waits) -> None:
        with epoch.defer_wait():
            change("key_1")
        with epoch.defer_wait() as wait:
            pass

        assert wait.seconds_left == 0
