"""The notes of a worker: what it commits about epochs, and which readings they make count for its lease."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from apikeys.tests.test_lease import Worker, change
from core import approvals, epoch, primary
from core.epoch import LEASE_SECONDS
from core.models import Approval

pytestmark = pytest.mark.django_db
A_MOMENT = 0.001


class Notes:
    """The notes that a worker commits, and how long each takes."""

    def __init__(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.epochs: list[int] = []
        self.workers: list[str] = []
        self.seconds = 0.0
        self.error: Exception | None = None
        self._worker = worker
        self._write = approvals.note
        monkeypatch.setattr(approvals, "note", self._note)
        self.dropped_before: list[int] = []

    def _note(self, name: str, reached: int, **what: object) -> None:
        self.dropped_before.append(len(self._worker.cache.invalidated))
        if self.error is not None:
            raise self.error
        self._write(name, reached, **what)  # type: ignore[arg-type]  # handed on as it came
        self._worker.clock.now += self.seconds
        self.epochs.append(reached)
        self.workers.append(name)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(monkeypatch)


@pytest.fixture
def notes(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Notes:
    return Notes(worker, monkeypatch)


def noted() -> list[int]:
    return sorted(Approval.objects.values_list("epoch", flat=True))


def vouches() -> bool:
    return bool(Approval.objects.latest("epoch").server)


class TestFirstLease:
    def test_row_is_committed_before_the_first_lease(self, worker: Worker, notes: Notes) -> None:
        worker.lease.read()
        assert not worker.lease.is_valid
        worker.lease.note()
        assert noted() == [0]
        assert not worker.lease.is_valid, "a change may have been answered before the row was there"

        worker.lease.read()

        assert worker.lease.is_valid

    def test_epoch_that_moved_meanwhile_is_noted_first(self, worker: Worker, notes: Notes) -> None:
        worker.lease.read()
        worker.lease.note()
        change("key_1")

        worker.lease.read()
        is_valid_before = worker.lease.is_valid
        worker.lease.note()

        assert (is_valid_before, worker.lease.is_valid) == (False, True)
        assert worker.cache.invalidated == [None, {"key_1"}]


class TestNewEpoch:
    def test_lease_is_not_extended_before_the_note_is_committed(self, worker: Worker, notes: Notes) -> None:
        worker.renew()
        change("key_1")
        worker.clock.now += LEASE_SECONDS - A_MOMENT

        worker.lease.read()
        worker.clock.now += A_MOMENT
        assert not worker.lease.is_valid

    def test_lease_is_extended_by_the_note(self, worker: Worker, notes: Notes) -> None:
        worker.renew()
        change("key_1")
        worker.clock.now += LEASE_SECONDS - A_MOMENT

        worker.lease.read()
        worker.lease.note()

        worker.clock.now += LEASE_SECONDS - A_MOMENT
        assert worker.lease.is_valid
        assert noted() == [1]

    def test_late_note_does_not_extend_the_lease_until_the_epoch_is_read_again(
        self, worker: Worker, notes: Notes
    ) -> None:
        """A change may have taken the worker for dead, so that the next did not wait for it."""
        worker.renew()
        change("key_1")
        worker.clock.now += LEASE_SECONDS - A_MOMENT
        worker.lease.read()
        notes.seconds = 2 * A_MOMENT

        worker.lease.note()
        assert not worker.lease.is_valid

        worker.lease.read()
        assert worker.lease.is_valid

    def test_many_changes_do_not_starve_the_lease(self, worker: Worker, notes: Notes) -> None:
        notes.seconds = 0.01
        for _ in range(5):
            change("key_1")
            worker.lease.read()
            change("key_2")
            worker.lease.note()

        assert worker.lease.is_valid

    def test_facts_are_dropped_before_the_note(self, worker: Worker, notes: Notes) -> None:
        worker.renew()
        change("key_1")

        worker.renew()

        assert notes.dropped_before == [1, 2]

    def test_proofs_of_the_primary_are_dropped_before_the_note(
        self, worker: Worker, notes: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker.renew()
        change("key_1")
        monkeypatch.setattr(primary, "_trusted", (float("-inf"), float("inf")))
        worker.clock.now += A_MOMENT

        worker.lease.read()

        assert primary._trusted[0] == worker.clock.now


class TestCost:
    def test_nothing_is_written_while_nothing_changes(self, worker: Worker) -> None:
        worker.renew()
        worker.clock.now += LEASE_SECONDS / 2
        worker.renew()

        with CaptureQueriesContext(connection) as captured:
            for _ in range(5):
                worker.clock.now += LEASE_SECONDS / 2
                worker.renew()

        assert {query["sql"].split()[0] for query in captured.captured_queries} == {"SELECT"}
        assert len(captured) == 5


class TestVouching:
    @pytest.fixture(autouse=True)
    def _propagation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", LEASE_SECONDS * 1.04)

    def watch(self, worker: Worker, seconds: float) -> None:
        """Read the epoch for so long without a pause."""
        for _ in range(int(seconds / 0.1)):
            worker.clock.now += 0.1
            worker.renew()

    def test_worker_vouches_for_a_server_that_it_has_watched_for_a_lease(self, worker: Worker) -> None:
        worker.renew()
        self.watch(worker, 0.2)
        assert not vouches()

        self.watch(worker, 0.1)

        assert vouches()

    def test_worker_that_paused_watches_anew(self, worker: Worker) -> None:
        worker.renew()
        self.watch(worker, 0.5)
        worker.clock.now += LEASE_SECONDS + A_MOMENT
        change("key_1")

        worker.renew()
        assert not vouches()

        self.watch(worker, 0.5)
        assert vouches()

    def test_worker_watches_another_server_anew(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        worker.renew()
        self.watch(worker, 0.5)
        change("key_1")
        monkeypatch.setattr(primary, "server", lambda: "another")

        worker.renew()

        assert not vouches()


@pytest.mark.django_db(transaction=True)
class TestBeginningAnew:
    def test_note_with_an_unknown_outcome_is_written_under_another_name(
        self, worker: Worker, notes: Notes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It may be carried out later, over a newer one."""
        worker.renew()
        change("key_1")
        worker.lease.read()
        notes.error = OperationalError(2013, "Lost connection to server during query")

        assert not worker.lease._attempt(worker.lease.note, "noted")
        notes.error = None
        worker.renew()

        first, second = notes.workers
        assert first != second
        assert worker.cache.invalidated == [None, {"key_1"}, None]
        assert [record.message.partition(":")[0] for record in caplog.records] == ["the epoch cannot be noted"]

    def test_note_that_fails_during_a_reading_is_written_under_another_name(
        self, worker: Worker, notes: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker.renew()
        change("key_1")
        worker.lease.read()
        change("key_2")
        look_up = epoch.invalidated_between

        def fail_meanwhile(seen: int, reached: int) -> list[str] | None:
            notes.error = OperationalError(2013, "Lost connection to server during query")
            worker.lease._attempt(worker.lease.note, "noted")
            notes.error = None
            return look_up(seen, reached)

        with monkeypatch.context() as patch:
            patch.setattr(epoch, "invalidated_between", fail_meanwhile)
            worker.lease.read()
        worker.renew()

        assert len(set(notes.workers)) == 2

    def test_database_that_only_refuses_notes_is_available(
        self, worker: Worker, notes: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker.lease._started = worker.clock.now
        notes.error = OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction")
        for _ in range(50):
            worker.clock.now += epoch.POLL_SECONDS
            worker.lease._attempt(worker.lease.read, "read")
            worker.lease._attempt(worker.lease.note, "noted")

        assert not worker.lease.is_valid
        assert not worker.lease.is_lost

    def test_note_of_a_reading_before_a_failure_gives_no_lease(
        self, worker: Worker, notes: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker.renew()
        worker.clock.now += LEASE_SECONDS - A_MOMENT
        change("key_1")
        worker.lease.read()
        write = approvals.note

        def fail_meanwhile(*row: object, **what: object) -> None:
            write(*row, **what)  # type: ignore[arg-type]  # handed on as it came
            worker.lease._attempt(lambda: 1 // 0, "read")  # type: ignore[arg-type]  # it fails

        monkeypatch.setattr(approvals, "note", fail_meanwhile)
        worker.lease.note()
        worker.clock.now += A_MOMENT

        assert not worker.lease.is_valid

    def test_another_server_is_noted_under_another_name(
        self, worker: Worker, notes: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker.renew()
        monkeypatch.setattr(primary, "server", lambda: "another")

        worker.renew()

        assert len(set(notes.workers)) == 2
