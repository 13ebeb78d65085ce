"""Reports of bots get the same responses on the fast path and from the views (internal_api.fastpath.reports)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError, connection
from time_machine import travel

from agents.models import Agent, AgentActivity
from agents.services import activity
from apikeys import keyformat
from apikeys.models import UsageLogEntry
from core.models import AuditEntry
from internal_api.fastpath import Reply
from internal_api.fastpath.reports import MAX_BODY_BYTES, ReportHandler
from tests.support.client import SurfaceClient
from tests.support.fastpath import match, reply_to
from tests.support.people import Person, make_agent
from tests.support.server import MaimServer

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
ACTIVITY, USAGE = "/api/v2/agent-activity", "/api/v1/usage/log"
METHODS = {ACTIVITY: "PUT", USAGE: "POST"}
SECRET = keyformat.generate("tenant_000000000000", "agent_000000000000")


def heartbeat(agent: Agent, **fields: Any) -> dict[str, Any]:
    return {"tenant_id": agent.tenant_id, "agent_id": agent.id, "ttl_seconds": 60, **fields}


def handler_of(path: str, body: Any, **headers: str) -> ReportHandler:
    found = match(METHODS[path], path, json.dumps(body).encode(), headers)
    assert isinstance(found, ReportHandler)
    return found


def reply_all(handlers: Sequence[ReportHandler]) -> Sequence[Reply | None]:
    return type(handlers[0]).reply_all(handlers)


def comparable(status: int, headers: dict[str, str], body: bytes) -> Any:
    """Return the part of a response on which both ways have to agree."""
    document = json.loads(body)
    for name in ("timestamp", "execution_time", "request_id"):
        assert document.pop(name) is not None
    if isinstance(document["data"], dict):
        document["data"].pop("id", None)  # the number of a row
    named = {name.lower(): value for name, value in headers.items()}
    for name in ("content-length", "x-request-id", "allow"):
        named.pop(name, None)
    return status, named, list(document.items())


BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "a heartbeat": (ACTIVITY, {}),
    "a heartbeat with unknown fields": (ACTIVITY, {"ttl": 5, "小明": [1]}),
    "a heartbeat with blanks around an id": (ACTIVITY, {"agent_id": " {agent} "}),
    "an entry": (USAGE, {"action": "chat"}),
    "an entry with everything": (
        USAGE,
        {
            "action": "chat",
            "tenant_id": "nobody's",
            "agent_id": "小明",
            "user_id": "qq:1",
            "platform": "qq",
            "details": {"深": [1, 2.5, None, True]},
            "timestamp": 1769860800250,
        },
    ),
    "an entry with nulls": (USAGE, {"action": "chat", "details": None, "timestamp": None, "user_id": None}),
    "an entry with a key in every text": (
        USAGE,
        {"action": SECRET[:100], "user_id": SECRET[:100], "details": {SECRET: [SECRET]}},
    ),
    "an entry with unknown fields": (USAGE, {"action": "chat", "acton": "x"}),
    "an entry with 8 KiB of details": (USAGE, {"action": "chat", "details": "小" * 2730}),
}
REFUSED: dict[str, tuple[str, Any]] = {
    "a heartbeat of an archived agent": (ACTIVITY, {"agent_id": "{archived}"}),
    "a heartbeat of an unknown agent": (ACTIVITY, {"agent_id": "agent_000000000000"}),
    "a heartbeat in another tenant": (ACTIVITY, {"tenant_id": "tenant_000000000000"}),
    "a heartbeat for no time": (ACTIVITY, {"ttl_seconds": 0}),
    "a heartbeat with a text for a number": (ACTIVITY, {"ttl_seconds": "60"}),
    "an entry without an action": (USAGE, {}),
    "an entry with a blank action": (USAGE, {"action": " "}),
    "an entry with details that are too large": (USAGE, {"action": "chat", "details": "x" * 8192}),
    "an entry of no time": (USAGE, {"action": "chat", "timestamp": "yesterday"}),
    "an entry that is a list": (USAGE, []),
}


def body_of(path: str, fields: Any, agent: Agent) -> Any:
    archived = make_agent(agent.tenant)
    Agent.unscoped.filter(pk=archived.id).update(status="archived")
    body = heartbeat(agent, **fields) if path == ACTIVITY else fields
    return json.loads(json.dumps(body).replace("{agent}", agent.id).replace("{archived}", archived.id))


@pytest.mark.parametrize("title", BODIES)
def test_report_gets_the_same_response_and_row_on_both_ways(internal: SurfaceClient, agent: Agent, title: str) -> None:
    path, fields = BODIES[title]
    body = body_of(path, fields, agent)

    with travel(NOON, tick=False):
        reply = reply_to(handler_of(path, body))
        rows = stored_rows()
        response = internal.send(METHODS[path], path, body)

    assert reply is not None
    assert comparable(reply.status, dict(reply.headers), reply.body) == comparable(
        response.status_code, dict(response.headers), response.content
    )
    assert len(dict(reply.headers)) == len(reply.headers)
    assert stored_rows() == (rows if path == ACTIVITY else rows * 2)
    assert SECRET[:100] not in str(rows)
    assert not AuditEntry.objects.filter(action__startswith="activity").exists()


def stored_rows() -> list[dict[str, Any]]:
    """Return all heartbeats and entries, without the numbers of rows."""
    rows = [*AgentActivity.unscoped.values(), *UsageLogEntry.objects.values()]
    return [{name: value for name, value in row.items() if name != "id"} for row in rows]


@pytest.mark.parametrize("title", REFUSED)
def test_refused_report_is_left_to_django_and_stores_nothing(agent: Agent, title: str) -> None:
    path, fields = REFUSED[title]

    assert reply_to(handler_of(path, body_of(path, fields, agent))) is None
    assert stored_rows() == []


def test_heartbeats_of_a_batch_are_all_stored_and_the_last_of_an_agent_counts(alice: Person) -> None:
    agents = [make_agent(alice.tenant) for _ in range(3)]
    handlers = [handler_of(ACTIVITY, heartbeat(agent)) for agent in agents]
    handlers += [handler_of(ACTIVITY, heartbeat(agents[0], ttl_seconds=seconds)) for seconds in (7, 5)]

    replies = reply_all(handlers)

    assert [json.loads(reply.body)["data"]["ttl_seconds"] for reply in replies if reply] == [60, 60, 60, 7, 5]
    stored = dict(AgentActivity.unscoped.values_list("agent_id", "ttl_seconds"))
    assert stored == {agents[0].id: 5, agents[1].id: 60, agents[2].id: 60}


def test_heartbeats_of_a_batch_take_as_many_queries_as_one(alice: Person, django_assert_max_num_queries: Any) -> None:
    handlers = [handler_of(ACTIVITY, heartbeat(make_agent(alice.tenant))) for _ in range(20)]

    # A savepoint, because the test is in a transaction; a read and a write.
    with django_assert_max_num_queries(4):
        reply_all(handlers)


def test_entries_of_a_batch_have_their_own_ids_in_order(agent: Agent) -> None:
    replies = reply_all([handler_of(USAGE, {"action": f"action {number}"}) for number in range(20)])

    told = {
        json.loads(reply.body)["data"]["id"]: json.loads(reply.body)["data"]["action"] for reply in replies if reply
    }
    assert told == dict(UsageLogEntry.objects.values_list("id", "action"))
    assert list(told.values()) == [f"action {number}" for number in range(20)]


def test_refused_report_fails_no_other_of_its_batch(agent: Agent) -> None:
    bodies = [heartbeat(agent, ttl_seconds=0), heartbeat(agent), heartbeat(agent, agent_id="agent_000000000000")]

    replies = reply_all([handler_of(ACTIVITY, body) for body in bodies])

    assert [reply and reply.status for reply in replies] == [None, 200, None]
    assert AgentActivity.unscoped.count() == 1


@pytest.mark.django_db(transaction=True)
def test_row_that_the_database_refuses_leaves_its_batch_to_django(
    alice: Person, internal: SurfaceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that is deleted after it was read, before the heartbeats are written."""
    deleted, other = make_agent(alice.tenant), make_agent(alice.tenant)
    mark_active = activity.mark_active

    def delete_and_mark_active(activities: Sequence[AgentActivity]) -> None:
        if any(each.agent_id == deleted.id for each in activities):
            Agent.unscoped.filter(pk=deleted.id).delete()
        mark_active(activities)

    monkeypatch.setattr(activity, "mark_active", delete_and_mark_active)

    assert reply_all([handler_of(ACTIVITY, heartbeat(agent)) for agent in (deleted, other)]) == [None, None]
    assert [internal.send("PUT", ACTIVITY, heartbeat(agent)).status_code for agent in (deleted, other)] == [404, 200]
    assert list(AgentActivity.unscoped.values_list("agent_id", flat=True)) == [other.id]


@pytest.mark.parametrize("path", METHODS)
def test_unavailable_database_gets_503_on_both_ways_and_an_invalid_report_400(
    internal: SurfaceClient, agent: Agent, path: str
) -> None:
    def refuse(*_: Any) -> Any:
        raise OperationalError(2006, "Server has gone away")

    body = heartbeat(agent) if path == ACTIVITY else {"action": "chat"}
    with connection.execute_wrapper(refuse):
        reply, invalid = reply_all([handler_of(path, body), handler_of(path, {})])
        response = internal.send(METHODS[path], path, body)

    assert reply is not None
    assert comparable(reply.status, dict(reply.headers), reply.body) == comparable(
        response.status_code, dict(response.headers), response.content
    )
    assert (reply.status, invalid) == (503, None)


@pytest.mark.parametrize("path", METHODS)
def test_unusual_report_does_not_match(agent: Agent, path: str) -> None:
    body = json.dumps(heartbeat(agent) if path == ACTIVITY else {"action": "chat"}).encode()
    method = METHODS[path]

    assert match(method, path + "/", body) is not None
    assert match("PATCH", path, body) is None
    assert match(method, path + "/x", body) is None
    assert match(method, path, body.ljust(MAX_BODY_BYTES + 1)) is None
    for headers in ({"content-type": "text/plain"}, {"content-encoding": "br"}, {"origin": "http://localhost"}):
        assert match(method, path, body, headers) is None


def test_what_a_server_answers_under_load_is_stored(server: MaimServer) -> None:
    with server.client("internal") as client, ThreadPoolExecutor(16) as threads:
        tenant = client.post("/api/v2/tenants", json={"tenant_name": "T", "tenant_type": "personal"}).json()["data"][
            "id"
        ]
        ids = [
            client.post("/api/v2/agents", json={"tenant_id": tenant, "name": f"Bot {number}"}).json()["data"]["id"]
            for number in range(8)
        ]
        reports = [(ACTIVITY, {"tenant_id": tenant, "agent_id": each, "ttl_seconds": 77}) for each in ids * 8]
        reports += [(USAGE, {"action": "chat"})] * 64

        responses = list(
            threads.map(lambda report: client.request(METHODS[report[0]], report[0], json=report[1]), reports)
        )

        assert {response.status_code for response in responses} == {200}
        entries = {response.json()["data"]["id"] for response in responses[64:]}
        assert len(entries) == 64
        items = client.get(ACTIVITY, params={"tenant_id": tenant}).json()["data"]["items"]
        assert {item["agent_id"] for item in items if item["ttl_seconds"] == 77} == set(ids)
        assert ACTIVITY not in "".join(line for line in server.log.splitlines() if "PUT" in line), "Django answered"
