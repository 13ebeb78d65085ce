"""PUT and GET /agent-activity: which agents are alive (docs/contract.md section 17)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from time_machine import travel

from agents.models import Agent, AgentActivity
from agents.services import activity
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent, register

pytestmark = pytest.mark.django_db
PATH = "/api/v2/agent-activity"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
YEAR = 366 * 24 * 3600


def beat(internal: SurfaceClient, agent: Agent, ttl_seconds: Any = 60, **fields: Any) -> Any:
    body = {"tenant_id": agent.tenant_id, "agent_id": agent.id, "ttl_seconds": ttl_seconds, **fields}
    return internal.send("PUT", PATH, body)


def alive(internal: SurfaceClient, tenant_id: str | None = None) -> list[str]:
    response = internal.get(PATH if tenant_id is None else f"{PATH}?tenant_id={tenant_id}")
    assert response.status_code == 200
    data = response.json()["data"]
    assert list(data) == ["items", "count"]
    assert data["count"] == len(data["items"])
    return [row["agent_id"] for row in data["items"]]


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.content
    body: dict[str, Any] = response.json()
    assert (body["success"], body["error_code"]) == (False, code)
    return body


def test_heartbeat_response_shows_its_expiry(internal: SurfaceClient, agent: Agent) -> None:
    with travel(NOON, tick=False):
        response = beat(internal, agent, 90)

    assert response.status_code == 200
    assert response.json()["tenant_id"] == agent.tenant_id
    assert list(response.json()["data"]) == ["tenant_id", "agent_id", "last_seen_at", "expires_at", "ttl_seconds"]
    assert response.json()["data"] == {
        "tenant_id": agent.tenant_id,
        "agent_id": agent.id,
        "last_seen_at": "2026-01-31T12:00:00Z",
        "expires_at": "2026-01-31T12:01:30Z",
        "ttl_seconds": 90,
    }


def test_only_live_agents_are_listed(internal: SurfaceClient, agent: Agent) -> None:
    with travel(NOON, tick=False):
        beat(internal, agent, 60)

    for seconds, found in ((59, [agent.id]), (60, []), (61, [])):
        with travel(NOON + timedelta(seconds=seconds), tick=False):
            assert alive(internal) == found


def test_the_latest_heartbeat_counts(internal: SurfaceClient, agent: Agent) -> None:
    with travel(NOON, tick=False):
        beat(internal, agent, 3600)
        beat(internal, agent, 60)

    with travel(NOON + timedelta(seconds=61), tick=False):
        assert alive(internal) == []
        beat(internal, agent, 1)
        assert alive(internal) == [agent.id]
    assert AgentActivity.unscoped.count() == 1


def test_the_list_is_latest_first_and_of_one_tenant_or_of_all(internal: SurfaceClient, agent: Agent) -> None:
    strangers = make_agent(register("dora").tenant)
    with travel(NOON, tick=False):
        beat(internal, agent, 60)
    with travel(NOON + timedelta(seconds=1), tick=False):
        beat(internal, strangers, 60)
        assert alive(internal) == [strangers.id, agent.id]
        assert alive(internal, agent.tenant_id) == [agent.id]
        assert alive(internal, "tenant_000000000000") == []


@pytest.mark.parametrize("ids", [{"agent_id": "agent_000000000000"}, {"tenant_id": "tenant_000000000000"}])
def test_unknown_tenant_or_agent_is_404(internal: SurfaceClient, agent: Agent, ids: dict[str, str]) -> None:
    refused(beat(internal, agent, **ids), 404, "ACTIVITY_002")


def test_an_agent_of_another_tenant_is_404(internal: SurfaceClient, agent: Agent, charlie: Person) -> None:
    refused(beat(internal, agent, tenant_id=charlie.tenant.id), 404, "ACTIVITY_002")
    assert not AgentActivity.unscoped.exists()


@pytest.mark.parametrize(
    ("kind", "status"),
    [("agents", "inactive"), ("agents", "archived"), ("tenants", "inactive"), ("tenants", "suspended")],
)
def test_inactive_agent_or_tenant_is_409(internal: SurfaceClient, agent: Agent, kind: str, status: str) -> None:
    path = f"/api/v2/{kind}/{agent.id if kind == 'agents' else agent.tenant_id}"
    internal.send("PUT", path, {"status": status})

    refused(beat(internal, agent), 409, "ACTIVITY_002")

    internal.send("PUT", path, {"status": "active"})
    assert beat(internal, agent).status_code == 200


@pytest.mark.parametrize("ttl", [1, YEAR])
def test_a_heartbeat_counts_for_a_second_to_a_year(internal: SurfaceClient, agent: Agent, ttl: int) -> None:
    assert beat(internal, agent, ttl).status_code == 200


@pytest.mark.parametrize("ttl", [0, -1, YEAR + 1, 2**63 - 1, 1.5, "60", True, None])
def test_other_ttl_is_400(internal: SurfaceClient, agent: Agent, ttl: Any) -> None:
    body = refused(beat(internal, agent, ttl), 400, "VALIDATION_ERROR")

    assert list(body["data"]["errors"]) == ["ttl_seconds"]


def test_missing_fields_are_named(internal: SurfaceClient) -> None:
    body = refused(internal.send("PUT", PATH, {}), 400, "VALIDATION_ERROR")

    assert set(body["data"]["errors"]) == {"tenant_id", "agent_id", "ttl_seconds"}


def test_heartbeat_leaves_no_audit_row(internal: SurfaceClient, agent: Agent) -> None:
    written = AuditEntry.objects.count()

    beat(internal, agent)

    assert AuditEntry.objects.count() == written


@pytest.mark.django_db(transaction=True)
def test_an_agent_that_is_deleted_meanwhile_is_404(
    internal: SurfaceClient, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted after it was read, before its heartbeat is written."""

    mark_active = activity.mark_active

    def delete_and_mark_active(activities: Sequence[AgentActivity]) -> None:
        Agent.unscoped.filter(pk=agent.id).delete()
        mark_active(activities)

    monkeypatch.setattr(activity, "mark_active", delete_and_mark_active)

    refused(beat(internal, agent), 404, "ACTIVITY_002")
    assert not AgentActivity.unscoped.exists()


def test_sweep_deletes_expired_heartbeats(internal: SurfaceClient, alice: Person, agent: Agent) -> None:
    other = make_agent(alice.tenant)
    with travel(NOON, tick=False):
        beat(internal, agent, 60)
        beat(internal, other, 61)

    with travel(NOON + timedelta(seconds=60), tick=False):
        call_command("sweep")

    assert list(AgentActivity.unscoped.values_list("agent_id", flat=True)) == [other.id]
