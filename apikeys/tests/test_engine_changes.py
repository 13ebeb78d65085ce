"""Changes, and the moment when a worker's verdicts reflect them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from agents import services as agents
from apikeys import services
from apikeys.tests.worker import Data, Worker
from apikeys.verification import (
    ADDRESS_NOT_ALLOWED,
    DISABLED,
    EXPIRED,
    NOT_ACTIVE,
    UNKNOWN,
    VALID,
    VerificationRequest,
)
from core import primary
from tenants import services as tenants
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
A_DAY = {"limit": 100, "period": "day"}


CHANGES: dict[str, tuple[Callable[[Data], object], str]] = {
    "the key is disabled": (lambda data: services.disable_key(actor=OPERATOR, key=data.key), DISABLED),
    "the key is deleted": (lambda data: services.delete_key(actor=OPERATOR, key=data.key), UNKNOWN),
    "the key is rotated at once": (
        lambda data: services.rotate_key(actor=OPERATOR, key=data.key, grace_seconds=0),
        EXPIRED,
    ),
    "the key is limited to a network": (
        lambda data: data.change(allowed_networks=["10.0.0.0/8"]),
        ADDRESS_NOT_ALLOWED,
    ),
    "the key ended": (lambda data: data.change(expires_at=NOON - timedelta(days=9)), EXPIRED),
    "its secret leaked": (lambda data: data.report_leak(), DISABLED),
    "the agent is inactive": (
        lambda data: agents.update_agent(actor=OPERATOR, agent=data.agent, changes={"status": "inactive"}),
        NOT_ACTIVE,
    ),
    "the agent is deleted": (lambda data: agents.delete_agent(actor=OPERATOR, agent=data.agent), UNKNOWN),
    "the tenant is suspended": (
        lambda data: tenants.update_tenant(actor=OPERATOR, tenant=data.tenant, changes={"status": "suspended"}),
        NOT_ACTIVE,
    ),
    "the tenant is deleted": (lambda data: tenants.delete_tenant(actor=OPERATOR, tenant=data.tenant), UNKNOWN),
}


class TestAnotherServer:
    """A thread's connection is to another database server than the lease's, after a proxy has switched."""

    def test_facts_from_another_server_are_not_cached(
        self, worker: Worker, data: Data, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(primary, "server", lambda: "another")
        assert worker.code(data.secret) == VALID
        assert worker.engine.verify_cached(VerificationRequest(data.secret)) is None

        worker.renew()
        assert worker.code(data.secret) == VALID
        assert worker.engine.verify_cached(VerificationRequest(data.secret)) is not None


class TestChanges:
    @pytest.mark.parametrize("what", CHANGES)
    def test_change_takes_effect_when_the_lease_is_renewed(self, worker: Worker, data: Data, what: str) -> None:
        change, code = CHANGES[what]
        assert worker.code(data.secret) == VALID
        neighbour = data.another()

        change(data)
        worker.renew()

        assert worker.engine.verify_cached(VerificationRequest(data.secret)) is None
        assert worker.code(data.secret) == code
        assert worker.code(neighbour) == (VALID if what.startswith(("the key", "its secret")) else code)

    @pytest.mark.parametrize(
        "change",
        [
            lambda data: data.change(name="renamed"),
            lambda data: data.change(permissions=["read"]),
            lambda data: data.change(rate_limit={"limit": 5, "window_seconds": 60}),
            lambda data: data.change(quota=A_DAY),
            lambda data: agents.update_agent(actor=OPERATOR, agent=data.agent, changes={"name": "renamed"}),
            lambda data: agents.update_agent(actor=OPERATOR, agent=data.agent, changes={"quota": A_DAY}),
            lambda data: tenants.update_tenant(actor=OPERATOR, tenant=data.tenant, changes={"quota": A_DAY}),
        ],
    )
    def test_change_of_anything_that_a_response_shows_is_seen(
        self, worker: Worker, data: Data, change: Callable[[Data], object]
    ) -> None:
        before = worker.engine.verify(data.secret).facts

        change(data)
        worker.renew()

        assert worker.engine.verify(data.secret).facts != before

    def test_change_of_another_key_keeps_cached_facts(self, worker: Worker, data: Data, charlie: Person) -> None:
        worker.code(data.secret)
        other = make_key(make_agent(charlie.tenant)).key

        services.disable_key(actor=OPERATOR, key=other)
        worker.renew()

        assert worker.engine.verify_cached(VerificationRequest(data.secret)) is not None

    @pytest.mark.parametrize("what", ["the key is disabled", "the agent is inactive", "the tenant is suspended"])
    def test_repeated_change_waits_for_the_first(self, data: Data, what: str, propagation_waits: list[float]) -> None:
        """The first may not be in force everywhere yet, but the response to the repeat says that it is."""
        change, _code = CHANGES[what]
        change(data)
        propagation_waits.clear()

        change(data)

        assert len(propagation_waits) == 1
