"""The lease: for how long what a worker remembers may be believed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable

import pytest
from django.db import DatabaseError, OperationalError, connection

from apikeys.tests.facts import StoppedClock
from apikeys.tests.worker import renew
from apikeys.verification import lease as lease_module
from apikeys.verification.cache import KeyCache
from apikeys.verification.lease import LOST_AFTER_SECONDS, PAUSE_SECONDS, Lease
from core import epoch, nudges, primary
from core.db import transactional, transactional_and_propagated
from core.epoch import LEASE_SECONDS
from core.models import Epoch, Invalidation

pytestmark = pytest.mark.django_db
A_MOMENT = 0.001


class Enough(Exception):
    """An error that ends the lease's thread, which otherwise goes on as long as the process."""


class RecordingCache(KeyCache):
    """A cache that keeps what was invalidated, and whether the lease was valid then."""

    def __init__(self) -> None:
        super().__init__(10)
        self.lease = Lease(self)
        self.invalidated: list[set[str] | None] = []
        self.was_valid: list[bool] = []
        self.refuses = False

    def invalidate(self, subjects: Iterable[str] | None) -> None:
        if self.refuses:
            raise OperationalError(2013, "Lost connection to server during query")
        self.invalidated.append(None if subjects is None else set(subjects))
        self.was_valid.append(self.lease.is_valid)


class Worker:
    """A lease that is renewed by the test, and its cache."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = StoppedClock()
        monkeypatch.setattr(lease_module, "time", self.clock)
        self.cache = RecordingCache()
        self.lease = self.cache.lease

    def renew(self) -> None:
        renew(self.lease)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(monkeypatch)


@transactional_and_propagated
def change(*subjects: str) -> None:
    epoch.invalidate(*subjects)


class TestIsGood:
    def test_lease_is_not_valid_before_the_first_reading(self, worker: Worker) -> None:
        assert not worker.lease.is_valid

    def test_lease_is_valid_for_its_term_after_a_reading(self, worker: Worker) -> None:
        worker.renew()

        assert worker.lease.is_valid
        worker.clock.now += LEASE_SECONDS - A_MOMENT
        assert worker.lease.is_valid
        worker.clock.now += A_MOMENT
        assert not worker.lease.is_valid

    def test_term_begins_when_the_reading_is_sent(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        """A change may be committed right after the database has answered, and long before we hear the answer."""
        read = epoch.current

        def slowly() -> int:
            reached = read()
            worker.clock.now += LEASE_SECONDS - A_MOMENT
            return reached

        monkeypatch.setattr(epoch, "current", slowly)
        worker.renew()

        assert worker.lease.is_valid
        worker.clock.now += A_MOMENT
        assert not worker.lease.is_valid

    def test_reading_that_takes_longer_than_the_term_gives_no_lease(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = epoch.current

        def slowly() -> int:
            worker.clock.now += LEASE_SECONDS
            return read()

        monkeypatch.setattr(epoch, "current", slowly)
        worker.renew()

        assert not worker.lease.is_valid

    def test_each_reading_renews_the_lease(self, worker: Worker) -> None:
        for _ in range(5):
            worker.renew()
            worker.clock.now += LEASE_SECONDS * 0.9
            assert worker.lease.is_valid

    def test_failed_reading_does_not_renew_the_lease(self, worker: Worker) -> None:
        worker.renew()
        worker.clock.now += LEASE_SECONDS / 2

        fails(worker)

        worker.clock.now += LEASE_SECONDS / 2 - A_MOMENT
        assert worker.lease.is_valid, "what was read is still true"
        worker.clock.now += A_MOMENT
        assert not worker.lease.is_valid

    def test_what_cannot_be_looked_up_ends_it_too(self, worker: Worker) -> None:
        """The epoch was read, but not what it invalidated: nothing may be believed on that."""
        worker.renew()
        change("key_1")
        worker.clock.now += LEASE_SECONDS

        fails(worker, table=Invalidation._meta.db_table)

        assert not worker.lease.is_valid
        worker.renew()
        assert worker.cache.invalidated == [None, {"key_1"}]


class TestForgetting:
    def test_the_first_reading_forgets_everything(self, worker: Worker) -> None:
        worker.renew()

        assert worker.cache.invalidated == [None]

    def test_nothing_while_nothing_changes(self, worker: Worker) -> None:
        for _ in range(3):
            worker.renew()

        assert worker.cache.invalidated == [None]

    def test_what_changed_since_the_last_reading(self, worker: Worker) -> None:
        change("key_0")
        worker.renew()
        change("key_1", "agent_1")
        change("key_2")

        worker.renew()
        worker.renew()
        change("key_3")
        worker.renew()

        assert worker.cache.invalidated == [None, {"key_1", "agent_1", "key_2"}, {"key_3"}]

    def test_what_was_announced_as_what_was_invalidated(self, worker: Worker) -> None:
        @transactional
        def invalidate_without_wait(*subjects: str) -> None:
            epoch.invalidate(*subjects, wait=False)

        worker.renew()
        invalidate_without_wait("agent_1", "tenant_1")
        worker.renew()

        assert worker.cache.invalidated == [None, {"agent_1", "tenant_1"}]

    def test_nothing_for_an_epoch_that_was_only_to_have_a_number(self, worker: Worker) -> None:
        @transactional
        def write() -> None:
            epoch.on_epoch(lambda number: None)

        worker.renew()
        write()
        change("key_1")
        write()
        worker.renew()

        assert worker.cache.invalidated == [None, {"key_1", epoch.NOTHING}]

    def test_everything_where_it_is_not_known_what_changed(self, worker: Worker) -> None:
        worker.renew()
        change("key_1")
        change("key_2")
        Invalidation.objects.filter(epoch=1).delete()

        worker.renew()

        assert worker.cache.invalidated == [None, None]

    def test_everything_is_invalidated_when_the_epoch_goes_backwards(self, worker: Worker) -> None:
        """This happens when the database is restored to an earlier state."""
        change("key_1")
        change("key_2")
        worker.renew()
        Epoch.objects.update(value=1)

        worker.renew()
        worker.renew()

        assert worker.cache.invalidated == [None, None]

    def test_everything_is_invalidated_when_another_server_answers(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may have the same epoch, and lack what the previous one had committed."""
        worker.renew()
        monkeypatch.setattr(primary, "server", lambda: "another")

        worker.renew()
        worker.renew()

        assert worker.cache.invalidated == [None, None]
        assert worker.lease.server == "another"

    def test_everything_is_invalidated_after_another_server_answers_and_fails(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker.renew()
        change("key_1")
        monkeypatch.setattr(primary, "server", lambda: "another")
        monkeypatch.setattr(worker.cache, "refuses", True)

        with pytest.raises(OperationalError):
            worker.renew()
        monkeypatch.setattr(worker.cache, "refuses", False)
        worker.renew()

        assert worker.cache.invalidated == [None, None]

    def test_invalidation_comes_before_the_new_term(self, worker: Worker) -> None:
        worker.renew()
        change("key_1")
        worker.clock.now += LEASE_SECONDS

        worker.renew()

        assert worker.cache.invalidated == [None, {"key_1"}]
        assert worker.cache.was_valid == [False, False]
        assert worker.lease.is_valid

    def test_change_is_invalidated_once(self, worker: Worker) -> None:
        worker.renew()
        change("key_1")
        worker.renew()

        fails(worker)
        worker.renew()

        assert worker.cache.invalidated == [None, {"key_1"}]


class TestIsLost:
    @pytest.fixture(autouse=True)
    def _no_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for run in ("_run", "_run_notes"):
            monkeypatch.setattr(Lease, run, lambda self: None)
        monkeypatch.setattr(nudges, "listen", lambda callback: None)

    def test_lease_that_was_never_started_is_not_lost(self, worker: Worker) -> None:
        worker.clock.now += 1000

        assert not worker.lease.is_lost

    def test_lease_is_lost_a_second_after_it_expired(self, worker: Worker) -> None:
        worker.lease.start()
        worker.renew()

        worker.clock.now += LEASE_SECONDS + LOST_AFTER_SECONDS
        assert not worker.lease.is_lost
        worker.clock.now += A_MOMENT
        assert worker.lease.is_lost

    def test_lease_is_lost_a_second_after_start_without_a_reading(self, worker: Worker) -> None:
        worker.lease.start()

        worker.clock.now += LOST_AFTER_SECONDS
        assert not worker.lease.is_lost
        worker.clock.now += A_MOMENT
        assert worker.lease.is_lost

    def test_lease_is_not_lost_after_a_reading(self, worker: Worker) -> None:
        worker.lease.start()
        worker.clock.now += 1000
        assert worker.lease.is_lost

        worker.renew()

        assert not worker.lease.is_lost
        assert worker.lease.seconds_over < 0  # type: ignore[unreachable]  # is_lost has changed, which mypy cannot know


@pytest.mark.django_db(transaction=True)
class TestItsThread:
    """The thread as it runs in a worker, with a clock that its own pauses move."""

    def test_thread_keeps_the_lease_valid(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        validity = self.run(worker, monkeypatch, rounds=5)

        assert validity == [True] * 5
        assert worker.clock.now == pytest.approx(1000 + PAUSE_SECONDS + 5 * epoch.POLL_SECONDS)

    def test_thread_continues_on_a_new_connection_after_errors(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        attempts: list[object] = []
        read = epoch.current

        def fails_four_times() -> int:
            attempts.append(connection.connection)
            if 3 <= len(attempts) <= 6:
                connection.ensure_connection()
                raise OperationalError(2013, "Lost connection to server during query")
            return read()

        monkeypatch.setattr(epoch, "current", fails_four_times)

        validity = self.run(worker, monkeypatch, rounds=7)

        assert validity == [True, True, True, False, False, True, True]
        assert attempts[3:7] == [None] * 4, "each attempt after an error has a fresh connection"
        assert [record.message.partition(":")[0] for record in caplog.records] == [
            "the epoch cannot be read",
            "the epoch can be read again",
        ]

    def test_thread_continues_after_unexpected_exceptions_and_logs_them_once(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.fail_readings(monkeypatch, {3, 4, 5}, ZeroDivisionError("one of ours"))

        validity = self.run(worker, monkeypatch, rounds=5)

        assert validity == [True, True, True, False, True]
        failed, recovered = caplog.records
        assert failed.exc_info is not None, "where it went wrong is to be found"
        assert recovered.message == "the epoch can be read again"

    def test_unavailable_database_is_logged_without_traceback(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.fail_readings(monkeypatch, {1}, OperationalError(2006, "Server has gone away"))

        self.run(worker, monkeypatch, rounds=2)

        assert [record.exc_info for record in caplog.records] == [None, None]

    @pytest.mark.parametrize(
        "error", [OperationalError(2006, "Server has gone away"), ZeroDivisionError("one of ours")]
    )
    def test_everything_is_invalidated_after_a_failure(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        """The next answer may come from another database, which lacks what this one had committed."""
        self.fail_readings(monkeypatch, {4}, error)

        self.run(worker, monkeypatch, rounds=5)

        assert worker.cache.invalidated == [None, None], "at the first reading, and at the first after the failure"

    @staticmethod
    def fail_readings(monkeypatch: pytest.MonkeyPatch, numbers: set[int], error: Exception) -> None:
        """Make these readings fail. The first round has two."""
        read, attempts = epoch.current, itertools.count(1)

        def fails_now_and_then() -> int:
            if next(attempts) in numbers:
                raise error
            return read()

        monkeypatch.setattr(epoch, "current", fails_now_and_then)

    @staticmethod
    def run(worker: Worker, monkeypatch: pytest.MonkeyPatch, *, rounds: int) -> list[bool]:
        """Let the thread's loop run so many times. Return whether the lease was valid after each round."""
        pauses = Pauses(worker, rounds)
        monkeypatch.setattr(worker.lease, "_nudged", pauses)
        monkeypatch.setattr(worker.lease._note_is_due, "set", worker.lease.note)
        with pytest.raises(Enough):
            worker.lease._run()
        return pauses.validity


class Pauses(threading.Event):
    """The pauses between readings, which take no time, until there were enough of them."""

    def __init__(self, worker: Worker, rounds: int) -> None:
        super().__init__()
        self._worker, self._rounds = worker, rounds
        self.validity: list[bool] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        assert 0 <= timeout <= epoch.POLL_SECONDS
        if not self.is_set():
            self.validity.append(self._worker.lease.is_valid)
            self._worker.clock.now += timeout
        if len(self.validity) == self._rounds:
            raise Enough
        return self.is_set()


def fails(worker: Worker, table: str = Epoch._meta.db_table) -> None:
    """Renew the lease while the database does not answer for a table."""

    def refuse(execute: Callable[..., object], sql: str, *_: object) -> object:
        if table in sql:
            raise OperationalError(2013, "Lost connection to server during query")
        return execute(sql, *_)

    with connection.execute_wrapper(refuse), pytest.raises(DatabaseError):
        worker.renew()
