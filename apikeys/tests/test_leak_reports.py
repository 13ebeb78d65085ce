"""POST /api/v1/api-keys/report-leaked: anybody who is signed in ends a leaked key, and learns nothing of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from agents.models import Agent
from apikeys import keyformat
from apikeys.tests.asking import code_of
from core.ids import agent_id, tenant_id
from core.models import AuditEntry
from core.setting_types import AuthRate
from tests.support.people import Person, join, make_key
from tests.support.tokens import script

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]
PATH = "/api/v1/api-keys/report-leaked"


def report(person: Person, secret: str, **body: Any) -> Any:
    return person.client.send("POST", PATH, {"api_key": secret, **body}, HTTP_X_REQUEST_ID="report")


def content(response: Any) -> dict[str, Any]:
    """Return a response without what differs between two responses to the same request."""
    return {name: value for name, value in response.json().items() if name not in ("timestamp", "execution_time")}


def test_stranger_ends_the_key_and_learns_nothing(agent: Agent, charlie: Person) -> None:
    issued = make_key(agent)
    unknown = keyformat.generate(tenant_id(), agent_id())

    found, missing = report(charlie, issued.secret), report(charlie, unknown)

    assert code_of(issued.secret) == "AUTH_004"
    assert (found.status_code, found.json()["data"]) == (200, {"accepted": True})
    assert content(found) == content(missing)
    assert found.headers.keys() == missing.headers.keys()


def test_text_that_is_no_key_is_rejected(charlie: Person) -> None:
    response = report(charlie, "mmc_dGVuYW50X2FlZ")

    assert (response.status_code, list(response.json()["data"]["errors"])) == (400, ["api_key"])


def test_tenant_learns_of_the_report_and_not_who_made_it(alice: Person, agent: Agent, charlie: Person) -> None:
    issued = make_key(agent)
    leak = {"api_key": issued.secret, "where": "https://example.com/paste"}
    assert script(charlie.user).send("POST", "/api/v1/api-keys/report-leaked", leak).status_code == 200
    audit = f"/api/v1/tenants/{alice.tenant.id}/audit?action=key.report_leak"

    (entry,) = alice.client.get(audit).json()["data"]["items"]

    assert (entry["object_id"], entry["after"]["where"]) == (issued.key.id, "https://example.com/paste")
    assert [entry[name] for name in ("actor_id", "actor_name", "address", "token_id")] == [None] * 4
    by_person = alice.client.get(f"{audit}&actor_id={charlie.user.id}").json()["data"]["items"]
    assert by_person == []
    assert AuditEntry.objects.latest("id").actor_id == charlie.user.id, "operators see who it was"


def test_key_of_a_suspended_tenant_is_ended_as_well(alice: Person, agent: Agent, bob: Person) -> None:
    join(bob, alice.tenant)
    issued = make_key(agent)
    type(alice.tenant).objects.filter(pk=alice.tenant.pk).update(status="suspended")

    assert report(bob, issued.secret).status_code == 200

    assert AuditEntry.objects.filter(action="key.report_leak", object_id=issued.key.id).exists()


@override_settings(AUTH_RATE=AuthRate(2, 100))
def test_reports_are_limited(agent: Agent, charlie: Person) -> None:
    issued = make_key(agent)

    statuses = [report(charlie, issued.secret).status_code for _ in range(3)]

    assert statuses == [200, 200, 429]
    assert AuditEntry.objects.filter(action="key.report_leak", object_id=issued.key.id).count() == 2
