"""What is read below Django is what the views say, word for word."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.http.surfaces import INTERNAL
from internal_api.fastpath import agents as readings
from internal_api.fastpath.responses import Reply
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent
from tests.support.server import MaimServer
from tests.support.wire import exchange

pytestmark = pytest.mark.django_db

PLAIN = {"host": "localhost"}
CONFIG = {
    "persona": "calm",
    "own": {"深": [1, 2.5, True]},
    "config_overrides": {
        "maim_message": {"auth_token": ["secret"]},
        "model": {"api_providers": [{"name": "mine", "base_url": "https://mine.example", "api_key": "sk-mine"}]},
    },
}
PARTS = ("", "/config", "/config/effective")


def below_django(path: str, headers: dict[str, str] | None = None) -> Reply | None:
    """The reply to a GET, or None where it is left to Django."""
    asked = {**PLAIN, **(headers or {})}
    read = readings.reading("GET", path, "", str(INTERNAL.bind.port), asked.get)
    return None if read is None else readings.answered([read])[0]


def without_moment(body: bytes) -> dict[str, Any]:
    """An envelope without what is another each time."""
    document: dict[str, Any] = orjson.loads(body)
    assert {"timestamp", "request_id", "execution_time"} <= document.keys()
    return {
        key: None if key in ("timestamp", "request_id", "execution_time") else value for key, value in document.items()
    }


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("agent", ["of Alice", "with a template that is none", "unknown"])
def test_an_answer_is_the_views(alice: Person, internal: SurfaceClient, agent: str, part: str) -> None:
    known = make_agent(alice.tenant, config=CONFIG, template_id="none" if "none" in agent else None, tags=["a", "小明"])
    path = f"/api/v2/agents/{'agent_unknown' if agent == 'unknown' else known.id}{part}"

    reply, answer = below_django(path), internal.get(path)

    assert reply is not None
    assert reply.status == answer.status_code
    assert list(without_moment(reply.body).items()) == list(without_moment(answer.content).items())
    headers = dict(reply.headers)
    assert headers.get("ETag") == answer.headers.get("ETag")
    assert headers["Content-Type"] == answer.headers["Content-Type"]
    assert b"sk-mine" not in reply.body


@pytest.mark.parametrize("part", PARTS)
def test_what_a_bot_has_already_is_not_sent_again(alice: Person, internal: SurfaceClient, part: str) -> None:
    agent = make_agent(alice.tenant, config=CONFIG)
    path = f"/api/v2/agents/{agent.id}{part}"
    etag = internal.get(path).headers["ETag"]

    same = below_django(path, {"if-none-match": f'"other", W/{etag}'})
    assert same is not None
    assert (same.status, same.body, dict(same.headers)["ETag"]) == (304, b"", etag)

    internal.send("PUT", f"/api/v2/agents/{agent.id}/config", {"persona": "lively"})
    changed = below_django(path, {"if-none-match": etag})
    assert changed is not None
    assert changed.status == 200
    assert b"lively" in changed.body


def test_many_at_once_each_get_their_own(alice: Person) -> None:
    agents = [make_agent(alice.tenant) for _ in range(3)]
    asked = [
        readings.reading("GET", f"/api/v2/agents/{agent_id}{part}", "", str(INTERNAL.bind.port), PLAIN.get)
        for part in PARTS
        for agent_id in (*(agent.id for agent in agents), "agent_unknown")
    ]

    replies = readings.answered([read for read in asked if read is not None])

    assert [reply.status for reply in replies] == [200, 200, 200, 404] * len(PARTS)
    names = [orjson.loads(reply.body)["data"]["name"] for reply in replies[:3]]
    assert names == [agent.name for agent in agents]


def test_one_that_cannot_be_read_spoils_no_other(alice: Person, caplog: pytest.LogCaptureFixture) -> None:
    good, bad = make_agent(alice.tenant), make_agent(alice.tenant)
    type(bad).unscoped.filter(pk=bad.id).update(config=[])
    asked = [
        readings.reading("GET", f"/api/v2/agents/{agent.id}/config/effective", "", str(INTERNAL.bind.port), PLAIN.get)
        for agent in (bad, good)
    ]

    replies = readings.answered([read for read in asked if read is not None])

    assert [reply.status for reply in replies] == [500, 200]
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
def test_the_rest_is_left_to_django(method: str, path: str, query: str, headers: dict[str, str]) -> None:
    assert readings.reading(method, path, query, "8000", {**PLAIN, **headers}.get) is None


def test_a_server_answers_so(server: MaimServer) -> None:
    """Over a socket, where no access line tells that Django had it."""
    before = len(server.log)

    answer = exchange(server.internal_port, "GET", "/api/v2/agents/agent_unknown/config/effective")

    assert (answer.status, answer.code) == (404, "AGENT_001")
    assert "agent_unknown" not in server.log[before:]
