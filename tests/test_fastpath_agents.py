"""Reads of agents get the same responses on the fast path and from the views (internal_api.fastpath.agents)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from django.db import connection

from internal_api.fastpath import Reply
from internal_api.fastpath.agents import AgentHandler
from tests.support.client import SurfaceClient
from tests.support.fastpath import match, reply_to
from tests.support.people import Person, make_agent
from tests.support.server import MaimServer
from tests.support.wire import exchange

pytestmark = pytest.mark.django_db

CONFIG = {
    "persona": "calm",
    "own": {"深": [1, 2.5, True]},
    "config_overrides": {
        "maim_message": {"auth_token": ["secret"]},
        "model": {"api_providers": [{"name": "mine", "base_url": "https://mine.example", "api_key": "sk-mine"}]},
    },
}
PARTS = ("", "/config", "/config/effective")


def fast_reply(path: str, headers: dict[str, str] | None = None) -> Reply | None:
    """Return the reply to a GET, or None if it is left to Django."""
    handler = match("GET", path, headers=headers)
    return None if handler is None else reply_to(handler)


def handler_for(agent_id: str, part: str = "") -> AgentHandler:
    handler = match("GET", f"/api/v2/agents/{agent_id}{part}")
    assert isinstance(handler, AgentHandler)
    return handler


def without_volatile_fields(body: bytes) -> dict[str, Any]:
    """Return an envelope without its volatile fields."""
    document: dict[str, Any] = orjson.loads(body)
    assert {"timestamp", "request_id", "execution_time"} <= document.keys()
    return {
        key: None if key in ("timestamp", "request_id", "execution_time") else value for key, value in document.items()
    }


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("agent", ["of Alice", "with a template that is none", "unknown"])
def test_response_equals_that_of_the_view(alice: Person, internal: SurfaceClient, agent: str, part: str) -> None:
    known = make_agent(alice.tenant, config=CONFIG, template_id="none" if "none" in agent else None, tags=["a", "小明"])
    path = f"/api/v2/agents/{'agent_unknown' if agent == 'unknown' else known.id}{part}"

    reply, response = fast_reply(path), internal.get(path)

    assert reply is not None
    assert reply.status == response.status_code
    assert list(without_volatile_fields(reply.body).items()) == list(without_volatile_fields(response.content).items())
    headers = dict(reply.headers)
    assert headers.get("ETag") == response.headers.get("ETag")
    assert headers["Content-Type"] == response.headers["Content-Type"]
    assert b"sk-mine" not in reply.body


@pytest.mark.parametrize("part", PARTS)
def test_known_etag_gets_304_until_the_config_changes(alice: Person, internal: SurfaceClient, part: str) -> None:
    agent = make_agent(alice.tenant, config=CONFIG)
    path = f"/api/v2/agents/{agent.id}{part}"
    etag = internal.get(path).headers["ETag"]

    same = fast_reply(path, {"if-none-match": f'"other", W/{etag}'})
    assert same is not None
    assert (same.status, same.body, dict(same.headers)["ETag"]) == (304, b"", etag)

    internal.send("PUT", f"/api/v2/agents/{agent.id}/config", {"persona": "lively"})
    changed = fast_reply(path, {"if-none-match": etag})
    assert changed is not None
    assert changed.status == 200
    assert b"lively" in changed.body


def test_batch_replies_are_in_order_of_the_requests(alice: Person) -> None:
    agents = [make_agent(alice.tenant) for _ in range(3)]
    handlers = [
        handler_for(agent_id, part) for part in PARTS for agent_id in (*(agent.id for agent in agents), "agent_unknown")
    ]

    replies = AgentHandler.reply_all(handlers)

    assert [reply.status for reply in replies] == [200, 200, 200, 404] * len(PARTS)
    names = [orjson.loads(reply.body)["data"]["name"] for reply in replies[:3]]
    assert names == [agent.name for agent in agents]


@pytest.mark.parametrize(("part", "config"), [*((part, "{broken") for part in PARTS), ("/config/effective", "[]")])
def test_unreadable_agent_does_not_fail_others_of_its_batch(
    alice: Person, caplog: pytest.LogCaptureFixture, part: str, config: str
) -> None:
    good, bad = make_agent(alice.tenant), make_agent(alice.tenant)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE agents_agent SET config = %s WHERE id = %s", [config, bad.id])

    replies = AgentHandler.reply_all([handler_for(agent.id, part) for agent in (bad, good)])

    assert [reply.status for reply in replies] == [500, 200]
    assert orjson.loads(replies[0].body)["error_code"] == "SYS_001"
    assert "a fault below Django" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "query", "headers"),
    [
        ("PUT", "/api/v2/agents/agent_1", "", {}),
        ("GET", "/api/v2/agents/agent_1", "x=1", {}),
        ("GET", "/api/v2/agents/agent_1/config/versions", "", {}),
        ("GET", "/api/v2/agents/import", "", {}),
        ("GET", "/api/v2/agents/import/", "", {}),
        ("GET", "/api/v2/agents/", "", {}),
        ("GET", "/api/v2/agents/agent%201", "", {}),
        ("GET", "/api/v2/agents/agent_1", "", {"origin": "https://evil.example"}),
        ("GET", "/api/v2/agents/agent_1", "", {"sec-fetch-site": "cross-site"}),
        ("GET", "/api/v2/agents/agent_1", "", {"host": "evil.example"}),
        ("GET", "/api/v2/agents/agent_1", "", {"content-length": "5"}),
        ("GET", "/api/v2/agents/agent_1", "", {"content-length": ""}),
        ("GET", "/api/v2/agents/agent_1", "", {"transfer-encoding": "chunked"}),
    ],
)
def test_unusual_request_is_left_to_django(method: str, path: str, query: str, headers: dict[str, str]) -> None:
    assert match(method, path, query=query, headers=headers) is None


def test_server_responds_without_django(server: MaimServer) -> None:
    """Django would write a line to the access log."""
    before = len(server.log)

    response = exchange(server.internal_port, "GET", "/api/v2/agents/agent_unknown/config/effective")

    assert (response.status, response.code) == (404, "AGENT_001")
    assert "agent_unknown" not in server.log[before:]
