"""Reads from the primary: what shows that a server is one, what that costs, and what becomes of connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from apikeys.tests.facts import StoppedClock
from apikeys.verification import records
from core import epoch, primary
from core.db import from_primary, retry_if_disconnected, transactional
from core.models import Epoch
from tests.support.server import ON_MARIADB

pytestmark = pytest.mark.django_db(transaction=True)
on_mariadb = pytest.mark.skipif(not ON_MARIADB, reason="SQLite is one server")
READS: dict[str, Callable[[], Any]] = {
    "the epoch": epoch.current,
    "keys": lambda: records.find(["a digest", "another"]),
}


@pytest.fixture(autouse=True)
def _fresh_connection() -> Iterator[None]:
    connection.close()
    connection.ensure_connection()
    yield
    connection.close()


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection's server takes no writes any more, and those that are made anew may lead to one that does."""
    monkeypatch.setattr(connection, "is_writable_sql", "0")


@on_mariadb
class TestReads:
    @pytest.mark.parametrize("what", READS)
    def test_take_one_round_trip(self, what: str) -> None:
        with CaptureQueriesContext(connection) as captured:
            READS[what]()

        assert len(captured) == 1

    @pytest.mark.parametrize("what", READS)
    def test_are_refused_of_a_server_that_takes_no_writes_and_its_connection_is_closed(
        self, what: str, read_only: None
    ) -> None:
        with pytest.raises(OperationalError, match="takes no writes"):
            READS[what]()

        assert connection.connection is None

    @pytest.mark.parametrize("what", READS)
    def test_are_made_again_on_a_fresh_connection(self, what: str, read_only: None) -> None:
        before = connection.connection

        retry_if_disconnected(READS[what])()

        assert connection.connection is not before


@on_mariadb
class TestRequire:
    def test_asks_nothing_of_a_server_that_has_just_shown_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = StoppedClock()
        monkeypatch.setattr(primary, "time", clock)
        epoch.current()
        is_usable = Mock(return_value=True)
        monkeypatch.setattr(connection, "is_usable", is_usable)

        clock.now += primary.PROVEN_SECONDS
        primary.require()
        assert not is_usable.called
        clock.now += 0.001
        primary.require()
        primary.require()
        assert is_usable.call_count == 1

    def test_a_read_of_another_server_is_made_again_on_a_fresh_connection(
        self, read_only: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "proven_at", float("-inf"))
        before = connection.connection

        assert from_primary(Epoch.objects.count)() == 0
        assert connection.connection is not before


@on_mariadb
class TestConnections:
    def test_django_does_not_use_one_whose_server_takes_no_writes(self, read_only: None) -> None:
        assert not connection.is_usable()

    def test_none_is_made_to_such_a_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from core.mysql import base  # needs a driver

        connection.close()
        monkeypatch.setattr(base, "_IS_WRITABLE", "0")

        with pytest.raises(OperationalError, match="takes no writes"):
            connection.ensure_connection()
        assert connection.connection is None

    def test_one_is_closed_when_a_newer_one_is_to_another_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from core.mysql import base

        primary.drop_obsolete_connection()
        assert connection.connection is not None

        monkeypatch.setattr(base.DatabaseWrapper, "newest", ("another",))
        primary.drop_obsolete_connection()
        assert connection.connection is None

    def test_one_is_closed_when_it_is_as_old_as_is_allowed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert connection.settings_dict["CONN_MAX_AGE"] == 60
        monkeypatch.setattr(connection, "close_at", 0.0)

        assert retry_if_disconnected(lambda: connection.connection)() is None
        epoch.current()
        assert connection.close_at

    def test_it_tells_servers_apart(self) -> None:
        server = primary.server()

        assert server
        connection.close()
        connection.ensure_connection()
        assert primary.server() == server


class TestTransactional:
    @pytest.mark.parametrize("code", sorted(primary.REFUSED_WRITES))
    def test_what_was_refused_is_run_once_more_on_a_fresh_connection(self, code: int) -> None:
        connections = []

        @transactional
        def write() -> None:
            connection.ensure_connection()
            connections.append(connection.connection)
            if len(connections) == 1:
                raise OperationalError(code, "read-only")

        write()

        first, second = connections
        assert first is not second

    def test_and_no_more_than_once(self) -> None:
        calls = []

        @transactional
        def write() -> None:
            calls.append(1)
            raise OperationalError(primary.READ_ONLY, "read-only")

        with pytest.raises(OperationalError):
            write()
        assert len(calls) == 2

    @pytest.mark.parametrize("code", [2006, 2013])
    def test_what_may_have_been_carried_out_is_not(self, code: int) -> None:
        calls = []

        @transactional
        def write() -> None:
            calls.append(1)
            raise OperationalError(code, "Lost connection to server during query")

        with pytest.raises(OperationalError):
            write()
        assert len(calls) == 1
