"""Random odd requests, which get the same responses from the fast path and the views (internal_api.fastpath).

Requests come from a seed, which the environment variable FUZZ_SEED replaces.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.models import Sum
from django.utils import timezone
from time_machine import travel

from agents.models import Agent
from apikeys import keyformat, verification
from apikeys.models import ApiKey, KeySecret
from apikeys.verification.limits import InMemoryLimiter
from core.http.surfaces import INTERNAL, handler_of
from internal_api import fastpath
from internal_api.fastpath import Batches, Reply, Request
from maim.server.application import InternalApplication
from tests.support.client import SurfaceClient
from tests.support.examples import TIMES
from tests.support.fastpath import Answered
from tests.support.odd_requests import OddRequest, OddRequests, RequestData, smallest
from tests.support.one_connection import one_connection
from tests.support.people import Person, make_agent, make_key

pytestmark = [pytest.mark.heavy, pytest.mark.embedded, pytest.mark.django_db]

SEED = os.environ.get("FUZZ_SEED", "1")
PAIRS = 600 * TIMES  # of each test
PARSE_HEADERS = (("content-type", "application/json"), ("content-length", "38"))
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
VOLATILE_FIELDS = re.compile(rb'("timestamp":) ?"[^"]*"|("execution_time":) ?[0-9.e-]+')
MADE_REQUEST_ID = re.compile("req_[0-9a-f]{16}")


class OneThread(ThreadPoolExecutor):
    """An executor that uses the connection of the test, whose transaction has the data."""

    def __init__(self) -> None:
        mine = connections[DEFAULT_DB_ALIAS]
        super().__init__(1, initializer=connections.__setitem__, initargs=(DEFAULT_DB_ALIAS, mine))
        self.runs = 0

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self.runs += 1
        return super().submit(*args, **kwargs)


@dataclass(frozen=True)
class Response:
    """A response without its volatile fields, and the number of counted uses."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    uses: int


class TwoWays:
    """The internal surface as it is served, and Django alone, over the same data."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.served_by_django, self._batches = OneThread(), OneThread()
        self._application = InternalApplication()
        self._application._threads._threads = self.served_by_django
        self._application._batches = {kind: Batches(self.loop, kind) for kind in fastpath.HANDLERS}
        for batches in self._application._batches.values():
            batches._threads = self._batches

    def close(self) -> None:
        self.served_by_django.shutdown()
        self._batches.shutdown()
        self.loop.close()

    def served(self, request: OddRequest) -> Response:
        exchange = self._exchange(request)

        def serve() -> Reply:
            self.loop.run_until_complete(self._application.respond(exchange))
            assert exchange.reply is not None
            return exchange.reply

        return self._rolled_back(serve, request)

    def django(self, request: OddRequest) -> Response:
        environ = self._application._environ(self._exchange(request))
        begun: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            begun.append((status, headers))

        def respond() -> Reply:
            body = b"".join(handler_of(INTERNAL, request.path)(environ, start_response))
            ((status, headers),) = begun
            return Reply(int(status[:3]), headers, body)

        return self._rolled_back(respond, request)

    def differ(self, request: OddRequest) -> bool:
        served, django = self.served(request), self.django(request)
        return served != django or served.status >= 500

    @staticmethod
    def _exchange(request: OddRequest) -> Answered:
        return Answered(request.method, f"{request.path}?{request.query}", request.headers, request.body)

    @staticmethod
    def _rolled_back(respond: Callable[[], Reply], request: OddRequest) -> Response:
        """Return the response, and undo its changes of rows and limits."""
        if request.method == "GET":
            return comparable(respond(), 0)
        verification._engine._limiter = InMemoryLimiter()
        atomic = transaction.atomic()
        atomic._from_testcase = True  # type: ignore[attr-defined]  # as the tests' own, in which services may begin theirs
        with atomic:
            reply = respond()
            uses = 0
            if b'"valid":true' in reply.body:
                verification._engine._counter.write()
                uses = ApiKey.unscoped.aggregate(uses=Sum("usage_count"))["uses"]
            transaction.set_rollback(True)
        return comparable(reply, uses)


def comparable(reply: Reply, uses: int) -> Response:
    """Return the part of a reply on which both ways have to agree."""
    headers: list[tuple[str, str]] = []
    body = VOLATILE_FIELDS.sub(rb"\1\2", reply.body)
    for name, value in ((name.lower(), value) for name, value in reply.headers):
        if name == "content-length":
            assert int(value) == len(reply.body)
        elif name == "x-request-id" and MADE_REQUEST_ID.fullmatch(value):
            body = body.replace(value.encode(), b"(made)")
            headers.append((name, "(made)"))
        elif name != "allow" or reply.status == 405:  # DRF sends it with every response, where it has no meaning
            headers.append((name, value))
    return Response(reply.status, tuple(sorted(headers)), body, uses)


@contextmanager
def caching(is_on: bool) -> Iterator[None]:
    """Cache keys between requests, like a worker."""
    with pytest.MonkeyPatch.context() as patch:
        if is_on:
            patch.setattr(verification._engine._lease, "_valid_until", float("inf"))
            patch.setattr(verification._engine, "_is_started", True)
        yield
        verification._engine._cache.invalidate(None)


@pytest.fixture
def data(alice: Person, monkeypatch: pytest.MonkeyPatch) -> RequestData:
    """Keys and agents of every kind."""
    config = {
        "persona": "calm",
        "own": {"深": [1, 2.5, True]},
        "config_overrides": {"maim_message": {"auth_token": ["x"]}},
    }
    agents = [make_agent(alice.tenant, config=config, tags=["a", "小明"]), make_agent(alice.tenant)]
    archived = make_agent(alice.tenant)
    Agent.unscoped.filter(pk=archived.id).update(status="archived")
    kinds: dict[str, dict[str, Any]] = {
        "good": {"permissions": ["chat", "read"]},
        "wild": {"permissions": ["config.*", "密"]},
        "ends": {"expires_at": NOON},
        "ended": {"expires_at": NOON.replace(hour=10)},
        "limited": {"rate_limit": {"limit": 5, "window_seconds": 60}, "quota": {"limit": 9, "period": "day"}},
        "inside": {"allowed_networks": ["10.0.0.0/8", "2001:db8::/32"]},
        "disabled": {},
        "leaked": {},
        "used up": {"quota": {"limit": 1, "period": "total"}},
    }
    issued = {kind: make_key(agents[0], **fields) for kind, fields in kinds.items()}
    ApiKey.unscoped.filter(pk=issued["disabled"].key.id).update(status="disabled")
    KeySecret.objects.filter(key=issued["leaked"].key).update(leaked_at=timezone.now())
    internal = SurfaceClient(INTERNAL)
    response = internal.send("POST", "/api/v2/auth/validate-api-key", {"api_key": issued["used up"].secret})
    assert response.json()["success"]
    parts = ("config", "config/effective")
    etags = [internal.get(f"/api/v2/agents/{agent.id}/{part}").headers["ETag"] for agent in agents for part in parts]
    monkeypatch.setattr(verification._engine, "_limiter", None)  # each request has its own
    return RequestData(
        secrets=[
            *(each.secret for each in issued.values()),
            issued["good"].secret,
            keyformat.generate("tenant_000000000000", "agent_000000000000"),
        ],
        tenants=[*[alice.tenant.id] * 3, "tenant_unknown"],
        agents=[*(agent.id for agent in agents), archived.id, "agent_unknown"],
        etags=[etag.strip('"') for etag in etags],
    )


@pytest.fixture
def two_ways() -> Iterator[TwoWays]:
    logging.disable(logging.CRITICAL)  # a log line would take as long as its request
    connection.inc_thread_sharing()
    both = TwoWays()
    with one_connection():
        yield both
    both.close()
    connection.dec_thread_sharing()
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("is_on", [False, True], ids=["database", "cache"])
def test_both_ways_give_the_same_response(data: RequestData, two_ways: TwoWays, is_on: bool) -> None:
    statuses = Counter[int]()
    with travel(NOON.replace(hour=11), tick=False), caching(is_on):
        for number in range(PAIRS):
            request = OddRequests(data, Random(f"{SEED} {is_on} {number}")).make()
            served, django = two_ways.served(request), two_ways.django(request)
            if served != django or served.status >= 500:
                reduced = smallest(request, two_ways.differ)
                pytest.fail(
                    f"FUZZ_SEED={SEED}, request {number}:\n{reduced}\n"
                    f"as it is served:\n  {two_ways.served(reduced)}\nby Django:\n  {two_ways.django(reduced)}"
                )
            statuses[served.status] += 1

    assert set(statuses) >= {200, 304, 400, 403, 404, 405, 409, 413, 415}, "the requests are too much of a kind"
    assert 0.3 < 1 - two_ways.served_by_django.runs / statuses.total() < 0.9, "too few for the one way or the other"


def test_difference_is_reported_with_the_smallest_request(
    data: RequestData, two_ways: TwoWays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Request, "is_plain", lambda request: True)
    odd_request = OddRequest(
        "POST",
        "/api/v2/auth/parse-api-key",
        query="x=1",
        headers=(("host", "localhost"), *PARSE_HEADERS, ("origin", "https://evil.example"), ("accept", "*/*")),
        body=b'{"api_key": "x", "unknown": [1, 2, 3]}',
    )
    assert two_ways.differ(odd_request)

    reduced = smallest(odd_request, two_ways.differ)

    assert two_ways.differ(reduced)
    assert reduced.query == ""
    assert b"unknown" not in reduced.body
    # A missing Host is a difference, too; without a length there would be no body.
    assert {name for name, _value in reduced.headers} == {"content-type", "content-length"}
    assert repr(reduced.body) in str(reduced)
