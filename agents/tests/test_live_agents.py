"""GET /tenants/{tenant_id}/agent-activity: the agents of a tenant that are alive, for its people."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from time_machine import travel

from agents import services
from agents.models import Agent
from tests.support.people import Person, join, make_agent

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]
NOON = datetime(2040, 1, 1, 12, tzinfo=UTC)


def listed(reader: Person, owner: Person, **query: Any) -> list[dict[str, Any]]:
    response = reader.client.get(f"/api/v1/tenants/{owner.tenant.id}/agent-activity?{urlencode(query)}")
    assert response.status_code == 200, response.content
    items: list[dict[str, Any]] = response.json()["data"]["items"]
    return items


def beat(person: Person, *, seconds: int = 60) -> Agent:
    """Let a new agent of a person report that it is alive."""
    agent = make_agent(person.tenant)
    services.record_activity(services.Heartbeat(agent.tenant_id, agent.id, seconds))
    return agent


def test_heartbeat_is_shown_until_it_expires(alice: Person) -> None:
    with travel(NOON, tick=False) as traveller:
        agent = beat(alice, seconds=60)

        assert listed(alice, alice) == [
            {
                "tenant_id": alice.tenant.id,
                "agent_id": agent.id,
                "last_seen_at": "2040-01-01T12:00:00Z",
                "expires_at": "2040-01-01T12:01:00Z",
                "ttl_seconds": 60,
            }
        ]
        traveller.shift(timedelta(seconds=61))
        assert listed(alice, alice) == []


def test_agents_of_other_tenants_are_not_shown(alice: Person, charlie: Person) -> None:
    theirs = beat(charlie)
    mine = beat(alice)

    assert [item["agent_id"] for item in listed(alice, alice)] == [mine.id]
    assert listed(alice, alice, agent_id=theirs.id) == []
    assert [item["agent_id"] for item in listed(alice, alice, agent_id=mine.id)] == [mine.id]


def test_member_reads_the_list(alice: Person, bob: Person) -> None:
    join(bob, alice.tenant)
    agent = beat(alice)

    assert [item["agent_id"] for item in listed(bob, alice)] == [agent.id]


def test_json_lines_have_a_cursor_header(alice: Person) -> None:
    ids = sorted(beat(alice).id for _ in range(3))
    path = f"/api/v1/tenants/{alice.tenant.id}/agent-activity?format=jsonl&limit=2&after="

    first = alice.client.get(path)
    second = alice.client.get(path + first["X-Next-Cursor"])

    lines = [json.loads(line)["agent_id"] for line in (first.content + second.content).splitlines()]
    assert lines == ids
    assert "X-Next-Cursor" not in second
