"""Two MariaDB and two Redis servers, a primary and a replica each, behind proxies that follow the primary.

The proxies close no connection, so connections to a demoted server stay open.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from redis import Redis as Client

from tests.support.instances import PASSWORD, USER, MariaDB, Redis, wait_until
from tests.support.switch import Switch

APP = "app"


@dataclass
class MariaDBPair:
    """A primary and its replica. The application's user may not write to a read-only server."""

    primary: MariaDB
    replica: MariaDB
    switch: Switch

    @property
    def url(self) -> str:
        """The URL of the database through the proxy."""
        return f"mysql://{APP}:{APP}@127.0.0.1:{self.switch.port}/maim"

    @property
    def primary_url(self) -> str:
        """The URL of the primary itself."""
        return f"mysql://{APP}:{APP}@127.0.0.1:{self.primary.port}/maim"

    def attach(self) -> None:
        """Make the replica follow the primary, and wait until it has everything."""
        _run(
            self.replica,
            "STOP SLAVE; SET GLOBAL read_only = 1; "
            f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {self.primary.port}, MASTER_USER = '{USER}', "
            f"MASTER_PASSWORD = '{PASSWORD}', MASTER_USE_GTID = slave_pos, MASTER_DEMOTE_TO_SLAVE = 1; START SLAVE",
        )
        self.catch_up()

    def catch_up(self) -> None:
        """Wait until the replica has everything from the primary."""
        position = _run(self.primary, "SELECT @@gtid_binlog_pos")
        assert _run(self.replica, f"SELECT MASTER_GTID_WAIT('{position}', 20)") == "0"

    def demote(self) -> None:
        """Make the primary read-only."""
        _run(self.primary, "SET GLOBAL read_only = 1")

    def undo(self) -> None:
        """Make the primary writable again."""
        _run(self.primary, "SET GLOBAL read_only = 0")

    def promote(self) -> None:
        """Stop the replication, make the replica writable, and send new connections to it."""
        self.catch_up()
        _run(self.replica, "STOP SLAVE; SET GLOBAL read_only = 0")
        self.primary, self.replica = self.replica, self.primary
        self.switch.target = self.primary.port


@dataclass
class RedisPair:
    """A primary and its replica."""

    primary: Redis
    replica: Redis
    switch: Switch

    @property
    def url(self) -> str:
        """The URL through the proxy."""
        return f"redis://127.0.0.1:{self.switch.port}/0"

    def attach(self) -> None:
        """Make the replica follow the primary."""
        with _client(self.replica) as replica:
            replica.replicaof("127.0.0.1", self.primary.port)
            wait_until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica follows")

    def swap(self) -> None:
        """Swap the primary and the replica, while the proxy still leads to the former primary."""
        wait_until(lambda: _position(self.replica) >= _position(self.primary), "the replica has all of it")
        self.cut_off()
        self.primary, self.replica = self.replica, self.primary
        self.attach()

    def cut_off(self) -> None:
        """Make the replica writable without telling the primary."""
        with _client(self.replica) as replica:
            replica.replicaof("NO", "ONE")

    def follow(self) -> None:
        """Send new connections to the primary."""
        self.switch.target = self.primary.port

    def keys(self, pattern: str) -> list[bytes]:
        """Return the keys of the primary."""
        with _client(self.primary) as primary:
            found: list[bytes] = primary.keys(pattern)
            return found


@contextmanager
def mariadb_pair() -> Iterator[MariaDBPair]:
    """Start a pair with an empty database `maim`. Skip the test if a package is missing."""
    missing = [*MariaDB.missing(), *([] if find_spec("MySQLdb") else ["mysqlclient"])]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)  # mariadbd runs as another user
        first = MariaDB(directory / "first", "--server-id=1", "--log-bin=binlog")
        first.install()
        second = first.copy(directory / "second", "--server-id=2", "--log-bin=binlog")
        for each in (first, second):
            each.start()
            stack.callback(each.stop)
        _run(second, "RESET MASTER")
        _run(first, f"CREATE USER '{APP}'@'%' IDENTIFIED BY '{APP}'; CREATE DATABASE maim CHARACTER SET utf8mb4")
        _run(first, f"GRANT ALL ON maim.* TO '{APP}'@'%'")
        pair = MariaDBPair(first, second, stack.enter_context(Switch(first.port)))
        pair.attach()
        yield pair


@contextmanager
def redis_pair() -> Iterator[RedisPair]:
    """Start a pair. Skip the test if Redis is not installed."""
    if missing := Redis.missing():
        pytest.skip(f"needs {' and '.join(missing)}")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        first, second = Redis(directory / "redis1"), Redis(directory / "redis2")
        for each in (first, second):
            each.start()
            stack.callback(each.stop)
        pair = RedisPair(first, second, stack.enter_context(Switch(first.port)))
        pair.attach()
        yield pair


def _run(mariadb: MariaDB, statements: str) -> str:
    completed = mariadb.sql(statements)
    assert completed.returncode == 0, completed.stderr.decode()
    return completed.stdout.decode().strip()


def _position(redis: Redis) -> int:
    """Return the replication position of a server."""
    with _client(redis) as client:
        replication = client.info("replication")
    number: int = replication.get("slave_repl_offset", replication["master_repl_offset"])
    return number


def _client(redis: Redis) -> Client:
    return Client(host="127.0.0.1", port=redis.port)
