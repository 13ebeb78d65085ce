"""The lock of `migrate`: one holder at a time, and the next one after a holder that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from core import migration_lock
from core.migration_lock import LockLost, MigrationLock
from tests.support.instances import WAIT, wait_until

pytestmark = [pytest.mark.needs_mariadb, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _quick_and_clean(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Iterator[None]:
    for name, value in {"BEAT_SECONDS": 0.02, "POLL_SECONDS": 0.02, "READINGS_UNTIL_GONE": 100}.items():
        monkeypatch.setattr(migration_lock, name, value)
    yield
    sql("DELETE FROM maim_migration_lock")


def sql(statement: str, *parameters: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def held_by(holder: str) -> None:
    sql("REPLACE INTO maim_migration_lock (id, holder, beats) VALUES (1, %s, 7)", holder)


def rows() -> list[tuple[object, ...]]:
    return sql("SELECT holder, beats FROM maim_migration_lock")


def take(told: list[str]) -> None:
    """Take the lock and release it, in a thread with a connection of its own."""
    try:
        with MigrationLock("default", told.append):
            pass
    finally:
        connection.close()


def test_lock_is_a_row_while_the_block_lasts() -> None:
    with MigrationLock("default", print) as lock:
        lock.require()
        [(holder, _beats)] = rows()
        assert " process " in str(holder)
        wait_until(lambda: rows() > [(holder, 1)], "the holder counts up")
    assert rows() == []


def test_next_one_waits_for_a_holder_that_counts() -> None:
    told: list[str] = []
    with ThreadPoolExecutor(1) as threads:
        with MigrationLock("default", print) as lock:
            waiting = threads.submit(take, told)
            wait_until(lambda: bool(told), "the other one waits")
            [(holder, beats)] = rows()
            wait_until(lambda: rows() > [(holder, int(str(beats)) + 30)], "the holder counts on")
            assert not waiting.done()
            lock.require()
        waiting.result(WAIT)
    assert told == [holder]


def test_lock_of_a_holder_that_is_gone_is_taken_over() -> None:
    held_by("elsewhere process 1")
    told: list[str] = []

    with MigrationLock("default", told.append) as lock:
        lock.require()
        assert told == ["elsewhere process 1"]


def test_holder_that_was_taken_for_dead_neither_goes_on_nor_releases() -> None:
    with MigrationLock("default", print) as lock:
        held_by("elsewhere process 1")
        with pytest.raises(LockLost):
            lock.require()
    assert rows() == [("elsewhere process 1", 7)]


def test_migration_stops_before_its_next_step_when_the_lock_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(lock: MigrationLock) -> None:
        raise LockLost

    call_command("migrate", "legacy", "zero", verbosity=0)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(MigrationLock, "require", lose)
            with pytest.raises(CommandError, match="taken over"):
                call_command("migrate", "legacy", verbosity=0)
    finally:
        call_command("migrate", verbosity=0)
    assert rows() == []


def test_looking_at_the_plan_takes_no_lock() -> None:
    held_by("elsewhere process 1")

    call_command("migrate", "--plan", verbosity=0)
    call_command("migrate", "--check", verbosity=0)

    assert rows() == [("elsewhere process 1", 7)]
