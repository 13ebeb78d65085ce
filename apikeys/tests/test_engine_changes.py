"""Changes, and when a worker's verdicts know of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from agents import services as agents
from apikeys import services
from apikeys.tests.worker import Scene, Worker
from apikeys.verification import (
    ADDRESS_NOT_ALLOWED,
    DISABLED,
    EXPIRED,
    NOT_ACTIVE,
    UNKNOWN,
    VALID,
    VerificationRequest,
)
from core import epoch, primary
from tenants import services as tenants
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
A_DAY = {"limit": 100, "period": "day"}


CHANGES: dict[str, tuple[Callable[[Scene], object], str]] = {
    "the key is disabled": (lambda scene: services.disable_key(actor=OPERATOR, key=scene.key), DISABLED),
    "the key is deleted": (lambda scene: services.delete_key(actor=OPERATOR, key=scene.key), UNKNOWN),
    "the key is rotated at once": (
        lambda scene: services.rotate_key(actor=OPERATOR, key=scene.key, grace_seconds=0),
        EXPIRED,
    ),
    "the key is limited to a network": (
        lambda scene: scene.change(allowed_networks=["10.0.0.0/8"]),
        ADDRESS_NOT_ALLOWED,
    ),
    "the key ended": (lambda scene: scene.change(expires_at=NOON - timedelta(days=9)), EXPIRED),
    "its secret leaked": (lambda scene: scene.report_leak(), DISABLED),
    "the agent is inactive": (
        lambda scene: agents.update_agent(actor=OPERATOR, agent=scene.agent, changes={"status": "inactive"}),
        NOT_ACTIVE,
    ),
    "the agent is deleted": (lambda scene: agents.delete_agent(actor=OPERATOR, agent=scene.agent), UNKNOWN),
    "the tenant is suspended": (
        lambda scene: tenants.update_tenant(actor=OPERATOR, tenant=scene.tenant, changes={"status": "suspended"}),
        NOT_ACTIVE,
    ),
    "the tenant is deleted": (lambda scene: tenants.delete_tenant(actor=OPERATOR, tenant=scene.tenant), UNKNOWN),
}


class TestAnotherServer:
    """Of the database: a thread's connection is to another than the lease's, which a proxy has led to since."""

    def test_what_it_says_is_not_remembered(
        self, worker: Worker, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(primary, "server", lambda: "another")
        assert worker.code(scene.secret) == VALID
        assert worker.engine.verify_cached(VerificationRequest(scene.secret)) is None

        worker.renew()
        assert worker.code(scene.secret) == VALID
        assert worker.engine.verify_cached(VerificationRequest(scene.secret)) is not None


class TestChanges:
    @pytest.mark.parametrize("what", CHANGES)
    def test_take_effect_with_the_next_reading(self, worker: Worker, scene: Scene, what: str) -> None:
        change, code = CHANGES[what]
        assert worker.code(scene.secret) == VALID
        neighbour = scene.another()

        change(scene)
        worker.renew()

        assert worker.engine.verify_cached(VerificationRequest(scene.secret)) is None
        assert worker.code(scene.secret) == code
        assert worker.code(neighbour) == (VALID if what.startswith(("the key", "its secret")) else code)

    @pytest.mark.parametrize(
        "change",
        [
            lambda scene: scene.change(name="renamed"),
            lambda scene: scene.change(permissions=["read"]),
            lambda scene: scene.change(rate_limit={"limit": 5, "window_seconds": 60}),
            lambda scene: scene.change(quota=A_DAY),
            lambda scene: agents.update_agent(actor=OPERATOR, agent=scene.agent, changes={"name": "renamed"}),
            lambda scene: agents.update_agent(actor=OPERATOR, agent=scene.agent, changes={"quota": A_DAY}),
            lambda scene: tenants.update_tenant(actor=OPERATOR, tenant=scene.tenant, changes={"quota": A_DAY}),
        ],
    )
    def test_of_whatever_an_answer_shows_are_seen(
        self, worker: Worker, scene: Scene, change: Callable[[Scene], object]
    ) -> None:
        before = worker.engine.verify(scene.secret).facts

        change(scene)
        worker.renew()

        assert worker.engine.verify(scene.secret).facts != before

    def test_of_other_keys_leave_what_is_remembered(self, worker: Worker, scene: Scene, charlie: Person) -> None:
        worker.code(scene.secret)
        other = make_key(make_agent(charlie.tenant)).key

        services.disable_key(actor=OPERATOR, key=other)
        worker.renew()

        assert worker.engine.verify_cached(VerificationRequest(scene.secret)) is not None

    @pytest.mark.parametrize("what", ["the key is disabled", "the agent is inactive", "the tenant is suspended"])
    def test_that_were_made_a_moment_ago_are_waited_for_by_their_repeats(
        self, scene: Scene, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first may be committed, and not yet in force everywhere; the repeat's answer says that it is."""
        change, _code = CHANGES[what]
        change(scene)
        waits: list[float] = []
        monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", 0.26)
        monkeypatch.setattr(epoch.time, "sleep", waits.append)  # type: ignore[attr-defined]

        change(scene)

        assert waits == [0.26]
