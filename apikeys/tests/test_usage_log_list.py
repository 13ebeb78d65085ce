"""GET /tenants/{tenant_id}/usage-log: what bots reported about a tenant, for its people."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from time_machine import travel

from apikeys.usage_log import log_usage
from tests.support.people import Person, join

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]
NOON = datetime(2040, 1, 1, 12, tzinfo=UTC)


def path(owner: Person, **query: Any) -> str:
    return f"/api/v1/tenants/{owner.tenant.id}/usage-log?{urlencode(query)}"


def actions(reader: Person, owner: Person, **query: Any) -> list[str]:
    response = reader.client.get(path(owner, **query))
    assert response.status_code == 200, response.content
    return [item["action"] for item in response.json()["data"]["items"]]


def test_entry_is_shown_whole(alice: Person) -> None:
    with travel(NOON, tick=False):
        entry = log_usage(
            action="chat", tenant_id=alice.tenant.id, agent_id="agent_x", platform="qq", details={"tokens": 3}
        )

    assert alice.client.get(path(alice)).json()["data"]["items"] == [
        {
            "id": entry.pk,
            "tenant_id": alice.tenant.id,
            "agent_id": "agent_x",
            "user_id": None,
            "platform": "qq",
            "action": "chat",
            "details": {"tokens": 3},
            "timestamp": "2040-01-01T12:00:00Z",
            "created_at": "2040-01-01T12:00:00Z",
        }
    ]


def test_entries_of_other_tenants_and_of_none_are_not_shown(alice: Person, bob: Person, charlie: Person) -> None:
    join(bob, alice.tenant)
    log_usage(action="theirs", tenant_id=charlie.tenant.id, agent_id="agent_x")
    log_usage(action="nobody's", agent_id="agent_x")
    log_usage(action="ours", tenant_id=alice.tenant.id, agent_id="agent_x")

    assert actions(alice, alice) == actions(bob, alice) == ["ours"]
    assert actions(alice, alice, agent_id="agent_x") == ["ours"]
    assert charlie.client.get(path(alice)).status_code == 404


def test_usage_log_is_filtered_by_agent_and_time(alice: Person) -> None:
    for hour in range(3):
        with travel(NOON + timedelta(hours=hour), tick=False):
            long_ago = datetime(2001, 1, 1, tzinfo=UTC)
            log_usage(action=f"{hour}", tenant_id=alice.tenant.id, agent_id=f"agent_{hour % 2}", timestamp=long_ago)

    assert actions(alice, alice, agent_id="agent_0") == ["2", "0"]
    assert actions(alice, alice, **{"from": "2040-01-01T13:00:00Z"}) == ["2", "1"]
    assert actions(alice, alice, to="2040-01-01T13:00:00Z") == ["0"]
    assert actions(alice, alice, **{"from": "2040-01-01T13:00:00Z", "agent_id": "agent_0"}) == ["2"]


def test_pages_and_lines(alice: Person) -> None:
    entries = [log_usage(action=f"{number}", tenant_id=alice.tenant.id) for number in range(3)]

    assert actions(alice, alice, limit=2) == ["2", "1"]
    assert actions(alice, alice, before=entries[1].pk) == ["0"]
    lines = alice.client.get(path(alice, format="jsonl", after="", limit=2))
    assert (lines["Content-Type"], lines["X-Next-Cursor"]) == ("application/jsonl", str(entries[1].pk))
    assert [json.loads(line)["action"] for line in lines.content.splitlines()] == ["0", "1"]
