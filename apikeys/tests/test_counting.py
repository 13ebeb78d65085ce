"""The counter of uses: none is lost and none counted twice, whatever threads, days and the database do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import CaptureQueriesContext

from apikeys import usage
from apikeys.models import ApiKey, DailyUse, KeySecret
from apikeys.tests.facts import facts
from apikeys.verification import KeyFacts, counting
from apikeys.verification.counting import UseCounter
from core import primary
from tests.support.instances import WAIT, wait_until
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 2, 1, tzinfo=UTC)
A_MOMENT = timedelta(microseconds=1)


@pytest.fixture
def counter() -> UseCounter:
    return UseCounter()


@pytest.fixture
def key(alice: Person) -> KeyFacts:
    """The facts of a key of Alice's."""
    return known(make_key(make_agent(alice.tenant)).key)


def known(key: ApiKey, secret: KeySecret | None = None) -> KeyFacts:
    """Return the facts of a key, by its current secret or by one that was rotated out."""
    return facts(key.id, key.agent_id, key.tenant_id, rotated_secret_id=secret.pk if secret else None)


def count_of(key: KeyFacts) -> tuple[int, datetime | None]:
    """Return the number of a key's uses, and the time of the last."""
    row = ApiKey.unscoped.get(pk=key.key_id)
    return row.usage_count, row.last_used_at


def by_day(subject: str) -> dict[date, int]:
    return {row.day: row.uses for row in DailyUse.unscoped.filter(subject=subject)}


def refusing(
    refused: list[str], *, when: Callable[[str], bool], error: Exception | None = None
) -> AbstractContextManager[None]:
    """Make the database refuse some statements, and append them to `refused`."""

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if when(sql):
            refused.append(sql)
            raise error or OperationalError(2006, "Server has gone away")
        return execute(sql, *rest)

    wrapper: AbstractContextManager[None] = connection.execute_wrapper(refuse)
    return wrapper


@contextmanager
def committing_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the database carry out each commit and then break the connection."""
    commit = BaseDatabaseWrapper.commit

    def commit_and_break_off(wrapper: BaseDatabaseWrapper) -> None:
        commit(wrapper)
        raise OperationalError(2013, "Lost connection to server during query")

    with monkeypatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "commit", commit_and_break_off)
        yield


class TestSums:
    def test_uses_add_up_and_the_last_is_kept(self, counter: UseCounter, key: KeyFacts) -> None:
        for seconds in range(3):
            counter.count(key, NOON + timedelta(seconds=seconds))
        counter.write()
        counter.count(key, NOON + timedelta(seconds=9))
        counter.write()

        assert count_of(key) == (4, NOON + timedelta(seconds=9))
        for subject in (key.key_id, key.agent_id, key.tenant_id):
            assert by_day(subject) == {NOON.date(): 4}

    def test_counting_makes_no_query(self, counter: UseCounter, key: KeyFacts) -> None:
        with CaptureQueriesContext(connection) as captured:
            for _ in range(100):
                counter.count(key, NOON)

        assert len(captured) == 0
        assert count_of(key) == (0, None)

    def test_many_keys_are_written_in_as_few_statements_as_one(self, counter: UseCounter, alice: Person) -> None:
        agent = make_agent(alice.tenant)
        keys = [known(make_key(agent).key) for _ in range(20)]
        with CaptureQueriesContext(connection) as few:
            counter.count(keys[0], NOON)
            counter.write()

        with CaptureQueriesContext(connection) as many:
            for key in keys:
                counter.count(key, NOON)
            counter.write()

        assert len(many) == len(few)
        assert [count_of(key)[0] for key in keys] == [2] + [1] * 19

    def test_more_keys_than_a_batch_holds_are_all_written(
        self, counter: UseCounter, alice: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counting, "MAX_BATCH_SIZE", 2)
        agent = make_agent(alice.tenant)
        keys = [known(make_key(agent).key) for _ in range(5)]

        for key in keys:
            counter.count(key, NOON)
        counter.write()

        assert [count_of(key)[0] for key in keys] == [1] * 5
        assert by_day(agent.id) == {NOON.date(): 5}

    def test_writing_nothing_makes_no_query(self, counter: UseCounter) -> None:
        with CaptureQueriesContext(connection) as captured:
            counter.write()

        assert len(captured) == 0

    def test_uses_of_deleted_keys_do_not_block_others(self, counter: UseCounter, key: KeyFacts) -> None:
        counter.count(facts("key_gone", "agent_gone", "tenant_gone", rotated_secret_id=12345), NOON)
        counter.count(key, NOON)

        counter.write()

        assert count_of(key) == (1, NOON)


class TestDays:
    def test_days_begin_at_midnight_in_utc(self, counter: UseCounter, key: KeyFacts) -> None:
        for moment in (NOON, MIDNIGHT - A_MOMENT, MIDNIGHT, MIDNIGHT + timedelta(hours=1)):
            counter.count(key, moment)
        counter.write()

        assert by_day(key.key_id) == {date(2026, 1, 31): 2, date(2026, 2, 1): 2}
        assert count_of(key) == (4, MIDNIGHT + timedelta(hours=1))

    def test_uses_around_midnight_count_for_their_days_in_any_order(self, counter: UseCounter, key: KeyFacts) -> None:
        """The thread that read the clock first need not count first."""
        for moment in (MIDNIGHT, MIDNIGHT - A_MOMENT, MIDNIGHT, MIDNIGHT - A_MOMENT):
            counter.count(key, moment)
        counter.write()

        assert by_day(key.key_id) == {date(2026, 1, 31): 2, date(2026, 2, 1): 2}
        assert count_of(key) == (4, MIDNIGHT)


class TestSecrets:
    def test_use_of_rotated_secret_counts_for_the_secret_and_the_key(self, counter: UseCounter, key: KeyFacts) -> None:
        row = ApiKey.unscoped.get(pk=key.key_id)
        current = KeySecret.objects.get(key=row)
        old = KeySecret.objects.create(key=row, digest="old", pepper_id=1, hint="0000", expires_at=MIDNIGHT)

        counter.count(known(row, old), NOON)
        counter.count(key, NOON + timedelta(seconds=5))
        counter.write()

        assert count_of(key) == (2, NOON + timedelta(seconds=5))
        assert by_day(key.key_id) == {NOON.date(): 2}
        old.refresh_from_db()
        current.refresh_from_db()
        assert (old.last_used_at, current.last_used_at) == (NOON, None)


@pytest.mark.django_db(transaction=True)
class TestADatabaseThatRefuses:
    """Uses that the database refuses are kept, and written once."""

    def test_kept_uses_are_written_when_the_database_is_back(
        self, counter: UseCounter, key: KeyFacts, caplog: pytest.LogCaptureFixture
    ) -> None:
        refused: list[str] = []
        with refusing(refused, when=lambda sql: True):
            for seconds in range(3):
                counter.count(key, NOON + timedelta(seconds=seconds))
                counter.write()
        counter.count(key, MIDNIGHT)

        counter.write()
        counter.write()

        assert len(refused) == 3
        assert count_of(key) == (4, MIDNIGHT)
        assert by_day(key.key_id) == {NOON.date(): 3, MIDNIGHT.date(): 1}
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3

    def test_failed_write_leaves_nothing_behind(self, counter: UseCounter, key: KeyFacts) -> None:
        counter.count(key, NOON)

        with refusing([], when=lambda sql: "apikeys_dailyuse" in sql):
            counter.write()
        assert (count_of(key), by_day(key.key_id)) == ((0, None), {})

        counter.write()
        assert (count_of(key), by_day(key.key_id)) == ((1, NOON), {NOON.date(): 1})

    def test_batches_before_the_failed_one_are_not_written_again(
        self, counter: UseCounter, alice: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counting, "MAX_BATCH_SIZE", 2)
        agent = make_agent(alice.tenant)
        keys = [known(make_key(agent).key) for _ in range(6)]
        for key in keys:
            counter.count(key, NOON)
        updates: list[str] = []

        def from_the_second_on(sql: str) -> bool:
            updates.append(sql)
            return sum("UPDATE apikeys_apikey" in each for each in updates) > 1

        with refusing([], when=from_the_second_on):
            counter.write()
        assert sorted(count_of(key)[0] for key in keys) == [0, 0, 0, 0, 1, 1]

        counter.write()
        assert [count_of(key) for key in keys] == [(1, NOON)] * 6
        assert by_day(agent.id) == {NOON.date(): 6}

    def test_commit_without_an_answer_is_not_repeated(
        self, counter: UseCounter, key: KeyFacts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        counter.count(key, NOON)
        with committing_without_an_answer(monkeypatch):
            counter.write()
        counter.count(key, MIDNIGHT)

        counter.write()

        assert count_of(key) == (2, MIDNIGHT)
        assert by_day(key.key_id) == {NOON.date(): 1, MIDNIGHT.date(): 1}

    def test_uses_refused_as_read_only_are_written_on_a_new_connection(
        self, counter: UseCounter, key: KeyFacts, caplog: pytest.LogCaptureFixture
    ) -> None:
        refused: list[str] = []
        counter.count(key, NOON)

        with refusing(
            refused,
            when=lambda sql: not refused and "UPDATE apikeys_apikey" in sql,
            error=OperationalError(primary.READ_ONLY, "running with the --read-only option"),
        ):
            counter.write()

        assert (count_of(key), len(refused), caplog.records) == ((1, NOON), 1, [])

    def test_kept_uses_are_merged_by_key_and_day(self, counter: UseCounter, key: KeyFacts) -> None:
        with refusing([], when=lambda sql: True):
            for _ in range(50):
                counter.count(key, NOON)
                counter.count(key, MIDNIGHT)
                counter.write()

        assert len(counter._queue) == 2
        counter.write()
        assert by_day(key.key_id) == {NOON.date(): 50, MIDNIGHT.date(): 50}


@pytest.mark.django_db(transaction=True)
class TestThreads:
    def test_no_use_is_lost_while_others_write(self, counter: UseCounter, key: KeyFacts) -> None:
        ready = threading.Barrier(6)

        def count() -> None:
            ready.wait(WAIT)
            for number in range(500):
                counter.count(key, NOON + timedelta(seconds=number % 2 * 86_400))

        def write() -> None:
            ready.wait(WAIT)
            try:
                for _ in range(10):
                    counter.write()
            finally:
                connection.close()

        threads = [threading.Thread(target=target) for target in (count, count, count, count, write, write)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        counter.write()

        assert count_of(key)[0] == 2000
        assert by_day(key.tenant_id) == {NOON.date(): 1000, MIDNIGHT.date(): 1000}

    @pytest.fixture(autouse=True)
    def _connections_are_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Close connections, as the end of a worker's process does."""
        run = UseCounter._run

        def run_and_close(counter: UseCounter) -> None:
            try:
                run(counter)
            finally:
                connection.close()

        monkeypatch.setattr(UseCounter, "_run", run_and_close)

    def test_started_counter_writes_by_itself(self, key: KeyFacts, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counting, "WRITE_EVERY_SECONDS", 0.01)
        counter = UseCounter()
        counter.start()
        try:
            counter.count(key, NOON)
            wait_until(lambda: count_of(key)[0] == 1, "the use is written")
        finally:
            counter.stop()

    def test_stop_writes_the_rest(self, key: KeyFacts, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counting, "WRITE_EVERY_SECONDS", 600)
        counter = UseCounter()
        counter.start()
        for _ in range(3):
            counter.count(key, NOON)

        counter.stop()

        assert count_of(key) == (3, NOON)

    def test_workers_that_were_forked_with_one_counter_lose_no_use(
        self, key: KeyFacts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counting, "WRITE_EVERY_SECONDS", 600)
        workers = UseCounter(), UseCounter()
        workers[1]._batch = workers[0]._batch  # as after a fork
        for counter in workers:
            counter.start()
            counter.count(key, NOON)

        for counter in workers:
            counter.stop()

        assert count_of(key) == (2, NOON)

    def test_unexpected_exception_is_logged_and_the_next_write_has_all_uses(
        self, key: KeyFacts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        add, faults = usage.add, iter([ZeroDivisionError("one of ours")])

        def fail_once(*content: Any) -> None:
            for fault in faults:
                raise fault
            add(*content)

        monkeypatch.setattr(usage, "add", fail_once)
        monkeypatch.setattr(counting, "WRITE_EVERY_SECONDS", 0.01)
        counter = UseCounter()
        counter.count(key, NOON)
        counter.start()
        try:
            wait_until(lambda: bool(caplog.records), "the fault is logged")
            counter.count(key, MIDNIGHT)
            wait_until(lambda: count_of(key)[0] == 2, "both uses are written")
        finally:
            counter.stop()

        assert by_day(key.key_id) == {NOON.date(): 1, MIDNIGHT.date(): 1}
        (record,) = caplog.records
        assert (record.levelno, record.name) == (logging.ERROR, "maim.keys")
        assert record.exc_info is not None

    def test_killed_process_loses_less_than_a_second(self) -> None:
        assert counting.WRITE_EVERY_SECONDS < 1
