"""Helpers around Django's ORM: domain errors for constraints, upserts, retried reads and transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import F

from core.db import retry_if_disconnected, transactional, translate_unique_violation, upsert
from core.errors import Conflict
from core.tests.models import Thing
from tests.support.instances import WAIT

pytestmark = pytest.mark.usefixtures("committed_things")
TAKEN = Conflict("the name is taken")
ERRORS = {"thing_name_unique": TAKEN, "test_thing.name": TAKEN}


def names() -> list[str]:
    return list(Thing.objects.order_by("name").values_list("name", flat=True))


def in_threads(*functions: Callable[[], Any]) -> list[Any]:
    """Run the functions at once, each on a connection of its own, and return their results."""

    def run(function: Callable[[], Any]) -> Any:
        try:
            return function()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(functions)) as threads:
        return [future.result(WAIT) for future in [threads.submit(run, function) for function in functions]]


class TestTranslateUniqueViolation:
    def test_taken_name_raises_the_domain_error(self) -> None:
        Thing.objects.create(id="1", name="bot")

        with pytest.raises(Conflict) as refusal, translate_unique_violation(ERRORS):
            Thing.objects.create(id="2", name="bot")

        assert refusal.value is TAKEN
        assert isinstance(refusal.value.__cause__, IntegrityError)

    def test_surrounding_transaction_stays_usable(self) -> None:
        Thing.objects.create(id="1", name="bot")

        with transaction.atomic():
            Thing.objects.create(id="2", name="before")
            with pytest.raises(Conflict), translate_unique_violation(ERRORS):
                Thing.objects.create(id="3", name="bot")
            Thing.objects.create(id="4", name="after")

        assert names() == ["after", "before", "bot"]

    def test_other_violation_passes_through(self) -> None:
        Thing.objects.create(id="1", name="bot")

        with pytest.raises(IntegrityError), translate_unique_violation(ERRORS):
            Thing.objects.create(id="1", name="other")

    def test_block_without_violation_passes(self) -> None:
        with translate_unique_violation(ERRORS):
            Thing.objects.create(id="1", name="bot")

        assert names() == ["bot"]

    def test_one_of_several_concurrent_inserts_succeeds(self) -> None:
        ready = threading.Barrier(8)

        def insert(number: int) -> Callable[[], bool]:
            def attempt() -> bool:
                ready.wait(WAIT)
                try:
                    with translate_unique_violation(ERRORS):
                        Thing.objects.create(id=str(number), name="bot")
                except Conflict:
                    return False
                return True

            return attempt

        results = in_threads(*(insert(number) for number in range(8)))

        assert sorted(results) == [False] * 7 + [True]
        assert names() == ["bot"]


class TestUpsert:
    def test_new_row_is_inserted(self) -> None:
        upsert(Thing(id="1", name="bot", number=1), unique_fields=["id"], update_fields=["number"])

        assert list(Thing.objects.values_list("id", "name", "number")) == [("1", "bot", 1)]

    def test_existing_row_is_updated_in_the_named_fields(self) -> None:
        Thing.objects.create(id="1", name="bot", number=1, document={"a": 1})

        upsert(Thing(id="1", name="other", number=2), unique_fields=["id"], update_fields=["number"])

        row = Thing.objects.get()
        assert (row.name, row.number, row.document) == ("bot", 2, {"a": 1})

    def test_concurrent_upserts_make_one_row(self) -> None:
        ready = threading.Barrier(8)

        def put(number: int) -> Callable[[], None]:
            def attempt() -> None:
                ready.wait(WAIT)
                upsert(Thing(id="1", name="bot", number=number), unique_fields=["id"], update_fields=["number"])

            return attempt

        in_threads(*(put(number) for number in range(8)))

        assert Thing.objects.get().number in range(8)


class TestRetryIfDisconnected:
    @staticmethod
    def reading(*errors: Exception) -> Callable[[], str]:
        left = list(errors)

        @retry_if_disconnected
        def read() -> str:
            if left:
                raise left.pop()
            with connection.cursor() as cursor:
                cursor.execute("SELECT 'found'")
                return str(cursor.fetchone()[0])

        return read

    def test_read_is_retried_on_a_new_connection(self) -> None:
        connection.ensure_connection()
        broken = connection.connection

        assert self.reading(OperationalError())() == "found"
        assert connection.connection is not broken

    def test_second_failure_raises_and_closes_the_connection(self) -> None:
        with pytest.raises(OperationalError):
            self.reading(OperationalError(), OperationalError())()

        assert connection.connection is None

    def test_inside_a_transaction_nothing_is_retried(self) -> None:
        with pytest.raises(OperationalError), transaction.atomic():
            self.reading(OperationalError())()

    def test_other_error_is_not_retried(self) -> None:
        with pytest.raises(ValueError, match="mine"):
            self.reading(ValueError("mine"))()

    def test_connection_is_not_pinged_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Django pings it before the first query of a request."""
        connection.ensure_connection()
        is_usable = Mock(return_value=True)
        monkeypatch.setattr(connection, "health_check_enabled", True)
        monkeypatch.setattr(connection, "is_usable", is_usable)
        connection.close_if_unusable_or_obsolete()

        assert self.reading()() == "found"
        assert not is_usable.called


class TestTransactional:
    def test_failed_service_is_rolled_back(self) -> None:
        @transactional
        def write() -> None:
            Thing.objects.create(id="1", name="bot")
            raise Conflict

        with pytest.raises(Conflict):
            write()

        assert names() == []

    def test_result_is_returned(self) -> None:
        @transactional
        def answer(number: int, *, text: str) -> tuple[int, str]:
            """Say it back."""
            assert connection.in_atomic_block
            return number, text

        assert answer(1, text="x") == (1, "x")
        assert (answer.__name__, answer.__doc__) == ("answer", "Say it back.")

    def test_inner_service_joins_the_outer_transaction(self) -> None:
        @transactional
        def inner() -> None:
            Thing.objects.create(id="1", name="bot")

        @transactional
        def outer() -> None:
            inner()
            raise Conflict

        with pytest.raises(Conflict):
            outer()

        assert names() == []

    def test_other_database_error_is_not_retried(self) -> None:
        calls = []

        @transactional
        def fail() -> None:
            calls.append(1)
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM no_such_table")

        with pytest.raises(Exception, match="no_such_table"):
            fail()

        assert len(calls) == 1

    def test_deadlock_is_given_up_after_five_attempts(self) -> None:
        calls: list[Thing] = []

        @transactional
        def deadlock() -> None:
            calls.append(Thing.objects.create(id=str(len(calls)), name=str(len(calls))))
            raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")

        with pytest.raises(OperationalError, match="Deadlock"):
            deadlock()

        assert len(calls) == 5
        assert names() == []

    @pytest.mark.needs_mariadb
    def test_two_services_in_a_deadlock_both_succeed(self) -> None:
        """MariaDB chooses a victim of the real deadlock, which runs again from its start."""
        for row_id in ("1", "2"):
            Thing.objects.create(id=row_id, name=row_id)
        both_hold_one = threading.Barrier(2)
        attempts: list[str] = []

        def count_both(first: str, second: str) -> Callable[[], None]:
            @transactional
            def count() -> None:
                attempts.append(first)
                Thing.objects.filter(pk=first).update(number=F("number") + 1)
                if attempts.count(first) == 1:
                    both_hold_one.wait(WAIT)
                Thing.objects.filter(pk=second).update(number=F("number") + 1)

            return count

        in_threads(count_both("1", "2"), count_both("2", "1"))

        assert len(attempts) == 3, "one of the two was run again"
        assert list(Thing.objects.order_by("id").values_list("number", flat=True)) == [2, 2]
