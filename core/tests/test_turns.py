"""The turns of SQLite's writers in one process (core.sqlite)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from core.models import Invalidation
from core.sqlite import base
from core.sqlite.turns import Turns
from tests.support.instances import wait_until

pytestmark = pytest.mark.embedded
WAIT = 10


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


def waiting(turns: Turns, number: int) -> Callable[[], bool]:
    return lambda: len(turns._waiting) == number


def test_turns_come_in_the_order_in_which_they_were_asked_for(threads: ThreadPoolExecutor) -> None:
    turns, order = Turns(), list[int]()
    assert turns.take(0)

    def write(number: int) -> None:
        assert turns.take(WAIT)
        order.append(number)
        turns.end()

    for number in range(5):
        threads.submit(write, number)
        wait_until(waiting(turns, number + 1), "a writer waits")
    turns.end()
    threads.shutdown()

    assert order == list(range(5))
    assert turns.take(0), "nobody has the turn any more"


def test_writer_whose_time_is_over_is_left_out(threads: ThreadPoolExecutor) -> None:
    turns = Turns()
    assert turns.take(0)

    assert not turns.take(0.01)
    later = threads.submit(turns.take, WAIT)
    wait_until(waiting(turns, 1), "a writer waits")
    turns.end()

    assert later.result(WAIT)


def add_row(epoch: int) -> None:
    Invalidation.objects.create(epoch=epoch, subject="x", at=timezone.now())


def in_thread(threads: ThreadPoolExecutor, write: Callable[..., Any], *arguments: Any) -> Any:
    """Run a write on a connection of its own."""

    def run() -> None:
        try:
            write(*arguments)
        finally:
            connection.close()

    return threads.submit(run)


@pytest.fixture
def turns() -> Turns:
    return base._turns[str(connection.settings_dict["NAME"])]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("write", [add_row, transaction.atomic(add_row)], ids=["a statement", "a transaction"])
def test_writer_waits_for_the_transaction_of_another_thread(
    threads: ThreadPoolExecutor, turns: Turns, write: Callable[[int], None]
) -> None:
    with transaction.atomic():
        write(10**6 + 1)
        other = in_thread(threads, write, 10**6 + 2)
        wait_until(waiting(turns, 1), "the other writer waits for its turn")
        assert list(Invalidation.objects.filter(epoch__gt=10**6).values_list("epoch", flat=True)) == [10**6 + 1]

    other.result(WAIT)
    assert Invalidation.objects.filter(epoch__gt=10**6).count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("end", ["rollback", "closed connection", "failed statement"])
def test_turn_ends_with_the_transaction_however_that_ends(turns: Turns, end: str) -> None:
    def write() -> None:
        with transaction.atomic():
            add_row(10**6 + 1)
            if end == "closed connection":
                connection.close()
            raise ZeroDivisionError

    def fail() -> None:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO no_such_table VALUES (1)")

    with pytest.raises((ZeroDivisionError, OperationalError)):
        (fail if end == "failed statement" else write)()

    assert turns.take(0)
    turns.end()
    assert not Invalidation.objects.filter(epoch__gt=10**6).exists()


@pytest.mark.django_db(transaction=True)
def test_writer_without_a_turn_gets_sqlites_error(
    threads: ThreadPoolExecutor, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.01)
    with transaction.atomic():
        add_row(10**6 + 1)
        with pytest.raises(OperationalError, match="database is locked"):
            in_thread(threads, add_row, 10**6 + 2).result(WAIT)

    add_row(10**6 + 3)
