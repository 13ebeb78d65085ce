"""A worker's engine under the control of a test, and a database that may be unavailable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Unpack

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from apikeys import access, services, verification
from apikeys.fields import KeyChanges
from apikeys.models import ApiKey
from apikeys.tests.facts import StoppedClock
from apikeys.verification import lease as lease_module
from apikeys.verification.counting import UseCounter
from apikeys.verification.engine import Engine
from apikeys.verification.lease import Lease
from core import nudges
from core.epoch import LEASE_SECONDS
from tenants.roles import Access
from tests.support.people import OPERATOR, Person, make_agent, make_key


class Worker:
    """A worker that serves, with a clock of its own. The test renews its lease and writes its uses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = StoppedClock()
        monkeypatch.setattr(lease_module, "time", self.clock)
        for run in ("_run", "_run_notes"):
            monkeypatch.setattr(Lease, run, lambda self: None)
        monkeypatch.setattr(nudges, "listen", lambda callback: None)
        monkeypatch.setattr(UseCounter, "_run", lambda self: None)
        self.engine = Engine()
        self.engine.start()

    def take_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Use this engine in place of the process' own."""
        for name in ("verify", "verify_all", "verify_cached", "verify_stale", "note_refusal"):
            monkeypatch.setattr(verification, name, getattr(self.engine, name))
        for name in ("start", "stop"):
            monkeypatch.setattr(verification, name, lambda: None)

    def renew(self) -> None:
        """Renew the lease, so that it is valid and changes are invalidated."""
        renew(self.engine._lease)

    def lose(self, seconds: float = 2.0) -> None:
        """Let the lease have expired so many seconds ago."""
        self.clock.now += LEASE_SECONDS + seconds

    def code(self, secret: str, **how: Any) -> str:
        return self.engine.verify(secret, **how).code

    def uses(self) -> int:
        """Return the number of uses of all keys."""
        self.engine._counter.write()
        return sum(ApiKey.unscoped.values_list("usage_count", flat=True))


def renew(lease: Lease) -> None:
    """Do what the lease's threads do until it is renewed: read, note, and read again where that is needed."""
    lease.read()
    lease.note()
    if not lease.is_valid:
        lease.read()


class Data:
    """A key of an agent in Alice's tenant."""

    def __init__(self, alice: Person) -> None:
        self.tenant, self.agent = alice.tenant, make_agent(alice.tenant)
        issued = make_key(self.agent, permissions=["chat"])
        self.key, self.secret = issued.key, issued.secret

    def another(self, **fields: Any) -> str:
        """Make another key and return its secret."""
        return make_key(self.agent, **fields).secret

    def another_disabled(self) -> str:
        """Make a disabled key and return its secret."""
        issued = make_key(self.agent)
        services.disable_key(actor=OPERATOR, key=issued.key)
        return issued.secret

    def report_leak(self) -> None:
        """Report the key's first secret as leaked."""
        secret = access.get_secret(OPERATOR, self.secret, Access.MANAGE_KEYS)
        services.report_leak(actor=OPERATOR, secret=secret)

    def change(self, **changes: Unpack[KeyChanges]) -> None:
        services.update_key(actor=OPERATOR, key=self.key, changes=changes)


@contextmanager
def queries(number: int) -> Iterator[None]:
    """Assert that the block makes exactly so many queries."""
    with CaptureQueriesContext(connection) as captured:
        yield
    assert len(captured) == number, "\n".join(query["sql"] for query in captured.captured_queries)


@contextmanager
def database_away(times: int | None = None) -> Iterator[list[str]]:
    """Make the next so many statements fail, or all in the block. Yield those that failed."""
    refused: list[str] = []

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if times is None or len(refused) < times:
            refused.append(sql)
            raise OperationalError(2006, "Server has gone away")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        yield refused


@contextmanager
def counts_away() -> Iterator[None]:
    """Make the database fail for the counted uses of keys, but not for keys."""

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if "apikeys_dailyuse" in sql:
            raise OperationalError(2006, "Server has gone away")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        yield
