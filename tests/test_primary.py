"""Reads from the primary: the check of the server, its cost, and its connections."""

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

pytestmark = pytest.mark.django_db(transaction=True)
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
    """Make the connection's server read-only; new connections may lead to a writable one."""
    monkeypatch.setattr(connection, "is_writable_sql", "0")


@pytest.mark.needs_mariadb
class TestReads:
    @pytest.mark.parametrize("read", READS)
    def test_read_takes_one_round_trip(self, read: str) -> None:
        with CaptureQueriesContext(connection) as captured:
            READS[read]()

        assert len(captured) == 1

    @pytest.mark.parametrize("read", READS)
    def test_read_from_a_read_only_server_raises_and_closes_the_connection(self, read: str, read_only: None) -> None:
        with pytest.raises(OperationalError, match="takes no writes"):
            READS[read]()

        assert connection.connection is None

    @pytest.mark.parametrize("read", READS)
    def test_read_is_retried_on_a_new_connection(self, read: str, read_only: None) -> None:
        before = connection.connection

        retry_if_disconnected(READS[read])()

        assert connection.connection is not before


@pytest.mark.needs_mariadb
class TestRequire:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
        clock = StoppedClock()
        monkeypatch.setattr(primary, "time", clock)
        monkeypatch.setattr(primary, "_trusted", (float("inf"), float("-inf")))
        return clock

    @pytest.fixture
    def is_usable(self, monkeypatch: pytest.MonkeyPatch) -> Mock:
        """The question to the server, which is counted and answered with yes."""
        is_usable = Mock(return_value=True)
        monkeypatch.setattr(connection, "is_usable", is_usable)
        return is_usable

    def test_server_that_was_just_checked_is_not_checked_again(self, clock: StoppedClock, is_usable: Mock) -> None:
        primary.trust(since=clock.now, until=clock.now + 10)
        epoch.current()

        clock.now += primary.PROVEN_SECONDS
        primary.require()
        assert not is_usable.called
        clock.now += 0.001
        primary.require()
        primary.require()
        assert is_usable.call_count == 1

    def test_server_is_checked_again_without_a_lease(self, clock: StoppedClock, is_usable: Mock) -> None:
        epoch.current()
        primary.require()
        assert is_usable.call_count == 1

        primary.trust(since=clock.now, until=clock.now)
        primary.require()
        assert is_usable.call_count == 2

    def test_server_is_checked_again_after_a_new_epoch(self, clock: StoppedClock, is_usable: Mock) -> None:
        """A primary that took over may have answered a change since."""
        epoch.current()
        clock.now += 0.01
        primary.trust(since=clock.now, until=clock.now + 10)

        primary.require()
        primary.require()

        assert is_usable.call_count == 1

    def test_read_from_a_demoted_server_is_retried_on_a_new_connection(
        self, read_only: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "proven_at", float("-inf"))
        before = connection.connection

        assert from_primary(Epoch.objects.count)() == 0
        assert connection.connection is not before


@pytest.mark.needs_mariadb
class TestConnections:
    def test_connection_to_a_read_only_server_is_not_usable(self, read_only: None) -> None:
        assert not connection.is_usable()

    def test_new_connection_to_a_read_only_server_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from core.mysql import base  # needs a driver

        connection.close()
        monkeypatch.setattr(base, "_IS_WRITABLE", "0")

        with pytest.raises(OperationalError, match="takes no writes"):
            connection.ensure_connection()
        assert connection.connection is None

    def test_connection_is_closed_when_a_newer_one_is_to_another_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from core.mysql import base

        primary.drop_obsolete_connection()
        assert connection.connection is not None

        monkeypatch.setattr(base.DatabaseWrapper, "newest", ("another",))
        primary.drop_obsolete_connection()
        assert connection.connection is None

    def test_connection_is_closed_at_its_maximum_age(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert connection.settings_dict["CONN_MAX_AGE"] == 60
        monkeypatch.setattr(connection, "close_at", 0.0)

        assert retry_if_disconnected(lambda: connection.connection)() is None
        epoch.current()
        assert connection.close_at

    def test_connections_to_one_server_have_the_same_identity(self) -> None:
        server = primary.server()

        assert server
        connection.close()
        connection.ensure_connection()
        assert primary.server() == server


class TestTransactional:
    @pytest.mark.parametrize("code", sorted(primary.REFUSED_WRITES))
    def test_refused_service_is_retried_once_on_a_new_connection(self, code: int) -> None:
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

    def test_service_refused_twice_raises(self) -> None:
        calls = []

        @transactional
        def write() -> None:
            calls.append(1)
            raise OperationalError(primary.READ_ONLY, "read-only")

        with pytest.raises(OperationalError):
            write()
        assert len(calls) == 2

    @pytest.mark.parametrize("code", [2006, 2013])
    def test_service_with_unknown_outcome_is_not_retried(self, code: int) -> None:
        calls = []

        @transactional
        def write() -> None:
            calls.append(1)
            raise OperationalError(code, "Lost connection to server during query")

        with pytest.raises(OperationalError):
            write()
        assert len(calls) == 1
