"""A worker's engine, which the test drives, and a database that is there or away."""

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
from core.epoch import LEASE_SECONDS
from tenants.access import Access
from tests.support.people import OPERATOR, Person, make_agent, make_key


class Worker:
    """A worker that serves, with a clock of its own; the test reads the epoch and writes the uses for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = StoppedClock()
        monkeypatch.setattr(lease_module, "time", self.clock)
        monkeypatch.setattr(Lease, "_run", lambda self: None)
        monkeypatch.setattr(UseCounter, "_run", lambda self: None)
        self.engine = Engine()
        self.engine.start()

    def take_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Has this engine asked wherever the process' own is."""
        for name in ("recall", "last_known", "verify", "verify_all"):
            monkeypatch.setattr(verification, name, getattr(self.engine, name))
        for name in ("start", "end"):
            monkeypatch.setattr(verification, name, lambda: None)

    def renew(self) -> None:
        """Reads the epoch: the lease is good, and what was changed is forgotten."""
        self.engine._lease.renew()

    def lose(self, seconds: float = 2.0) -> None:
        """Lets the lease be over for so long."""
        self.clock.now += LEASE_SECONDS + seconds

    def code(self, secret: str, **how: Any) -> str:
        return self.engine.verify(secret, **how).code

    def uses(self) -> int:
        """How many uses were counted, of all keys."""
        self.engine._counter.write()
        return sum(ApiKey.unscoped.values_list("usage_count", flat=True))


class Scene:
    """A key of an agent in Alice's tenant."""

    def __init__(self, alice: Person) -> None:
        self.tenant, self.agent = alice.tenant, make_agent(alice.tenant)
        issued = make_key(self.agent, permissions=["chat"])
        self.key, self.secret = issued.key, issued.secret

    def another(self, **fields: Any) -> str:
        """The secret of one more key."""
        return make_key(self.agent, **fields).secret

    def another_disabled(self) -> str:
        """The secret of a key that is disabled."""
        issued = make_key(self.agent)
        services.disable_key(actor=OPERATOR, key=issued.key)
        return issued.secret

    def report_leak(self) -> None:
        """Report the key's first secret."""
        secret = access.get_secret(OPERATOR, self.secret, Access.MANAGE)
        services.report_leak(actor=OPERATOR, secret=secret)

    def change(self, **changes: Unpack[KeyChanges]) -> None:
        services.update_key(actor=OPERATOR, key=self.key, changes=changes)


@contextmanager
def queries(number: int) -> Iterator[None]:
    """The block must make exactly so many queries."""
    with CaptureQueriesContext(connection) as captured:
        yield
    assert len(captured) == number, "\n".join(query["sql"] for query in captured.captured_queries)


@contextmanager
def database_away(times: int | None = None) -> Iterator[list[str]]:
    """The next so many statements, or all in the block, find no database; those that did not."""
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
    """The database answers for keys, but not for what was counted of them."""

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if "apikeys_dailyuse" in sql:
            raise OperationalError(2006, "Server has gone away")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        yield
