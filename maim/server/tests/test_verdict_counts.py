"""The metrics of verifications: each verdict is counted once, on the fast path and in Django."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

from apikeys import keyformat
from apikeys.tests.worker import Data, Worker
from apikeys.verification import KeyFacts, records
from core.epoch import LEASE_SECONDS
from core.http import metrics
from core.http.surfaces import INTERNAL
from internal_api.fastpath import batches
from internal_api.fastpath.keys import KeyAuthHandler
from maim.server import application
from maim.server.application import InternalApplication
from tests.support.client import SurfaceClient
from tests.support.fastpath import Answered
from tests.support.people import Person

pytestmark = [
    pytest.mark.single,
    pytest.mark.django_db(transaction=True),
]  # the event loop's threads have connections of their own
VALIDATE, CHECK, PARSE, MANY = (
    f"/api/v2/auth/{name}" for name in ("validate-api-key", "check-permission", "parse-api-key", "validate-api-keys")
)
UNKNOWN = keyformat.generate("tenant_000000000000", "agent_000000000000")
WAIT = 10

PathAndBody = tuple[str, dict[str, Any]]
Answer = Callable[[Sequence[PathAndBody]], list[int]]


class Counts:
    """The counts since this object was made."""

    def __init__(self) -> None:
        self._before = self._all()

    def verdicts(self) -> dict[str, int]:
        """Return the number of verdicts by code."""
        return {code: number for (name, code), number in self._since().items() if name == "maim_key_verifications"}

    def requests(self) -> dict[str, int]:
        """Return the number of requests by status."""
        return {status: number for (name, status), number in self._since().items() if name == "maim_http_requests"}

    def _since(self) -> Counter[tuple[str, str]]:
        return self._all() - self._before

    @staticmethod
    def _all() -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for family in text_string_to_metric_families(metrics.exposition().decode()):
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    label = sample.labels.get("code") or sample.labels.get("status", "")
                    found[family.name, label] += int(sample.value)
        return found


def exchange(path: str, body: dict[str, Any]) -> Answered:
    """Return a POST of a bot."""
    content = json.dumps(body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(content)), "host": "localhost"}
    return Answered("POST", path, headers.items(), content)


def on_the_event_loop(requests: Sequence[PathAndBody], *, meanwhile: Callable[[], None] = lambda: None) -> list[int]:
    """Answer as `serve` does, and return the statuses. Call `meanwhile` after the last and before the server stops."""

    async def serve() -> list[int]:
        app = InternalApplication()
        app.start(asyncio.get_running_loop())
        exchanges = [exchange(*request) for request in requests]
        for each in exchanges:
            await app.respond(each)
        meanwhile()
        app.stop()
        return [each.reply.status for each in exchanges if each.reply is not None]

    return asyncio.run(serve())


def in_views(requests: Sequence[PathAndBody]) -> list[int]:
    """Answer as Django does, and return the statuses."""
    client = SurfaceClient(INTERNAL)
    return [client.send("POST", path, body).status_code for path, body in requests]


@pytest.fixture(params=[on_the_event_loop, in_views])
def answer(request: pytest.FixtureRequest) -> Answer:
    """Each way to answer in turn."""
    chosen: Answer = request.param
    return chosen


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker with a valid lease, in place of the process' own."""
    worker = Worker(monkeypatch)
    worker.renew()
    worker.take_over(monkeypatch)
    return worker


@pytest.fixture(autouse=True)
def _connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close the connections of the event loop's threads, as the end of a worker's process does."""

    def closing(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call_and_close(argument: Any) -> Any:
            try:
                return function(argument)
            finally:
                if threading.current_thread() is not threading.main_thread():
                    connection.close()

        return call_and_close

    monkeypatch.setattr(KeyAuthHandler, "reply_all", closing(KeyAuthHandler.reply_all))
    monkeypatch.setattr(application, "_run_wsgi", closing(application._run_wsgi))


@pytest.fixture
def data(alice: Person) -> Data:
    return Data(alice)


def test_each_verdict_is_counted_once_by_its_code(answer: Answer, data: Data) -> None:
    disabled = data.another_disabled()
    asked: list[dict[str, Any]] = [
        {"api_key": data.secret},
        {"api_key": data.secret},  # from the cache
        {"api_key": data.secret, "required_permission": "admin"},
        {"api_key": disabled},
        {"api_key": UNKNOWN},
        {"api_key": UNKNOWN},
        {"api_key": "nonsense"},
    ]
    counts = Counts()

    assert answer([(VALIDATE, body) for body in asked]) == [200] * len(asked)

    assert counts.verdicts() == {"VALID": 3, "AUTH_004": 1, "AUTH_005": 2, "AUTH_001": 1}
    assert counts.requests() == {"200": len(asked)}


def test_unavailable_verdict_is_counted_once(answer: Answer, data: Data, worker: Worker) -> None:
    worker.lose()
    counts = Counts()

    assert answer([(VALIDATE, {"api_key": data.secret})]) == [503]

    assert (counts.verdicts(), counts.requests()) == ({"SYS_002": 1}, {"503": 1})


def test_unexpected_exception_counts_as_request_without_verdict(
    answer: Answer, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(records, "find", fail)
    counts = Counts()

    assert answer([(VALIDATE, {"api_key": data.secret})]) == [500]

    assert (counts.verdicts(), counts.requests()) == ({}, {"500": 1})


def test_other_key_requests_count_without_verdict(answer: Answer, data: Data) -> None:
    counts = Counts()

    answer([(CHECK, {"api_key": data.secret, "permission": "chat"}), (PARSE, {"api_key": data.secret})])

    assert (counts.verdicts(), counts.requests()) == ({}, {"200": 2})


def test_each_verdict_of_a_bulk_request_is_counted_once(answer: Answer, data: Data) -> None:
    keys = [data.secret, UNKNOWN, data.secret, "nonsense", data.secret]
    counts = Counts()

    answer([(MANY, {"items": [{"api_key": key} for key in keys]})])

    assert counts.verdicts() == {"VALID": 3, "AUTH_005": 1, "AUTH_001": 1}
    assert counts.requests() == {"200": 1}


@contextmanager
def database_that_hangs() -> Iterator[threading.Event]:
    """Make queries wait for the event, longer than requests do."""
    go_on = threading.Event()

    def find(digests: Sequence[str]) -> dict[str, KeyFacts]:
        assert go_on.wait(WAIT)
        return {}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(records, "find", find)
        patched.setattr(batches, "TIMEOUT_SECONDS", 0.05)
        yield go_on
        go_on.set()


class TestLateReply:
    """A reply that comes too late is not counted, beside the one that was sent instead."""

    def test_late_reply_after_503_is_not_counted(self, data: Data) -> None:
        counts = Counts()

        with database_that_hangs() as go_on:
            assert on_the_event_loop([(VALIDATE, {"api_key": data.secret})], meanwhile=go_on.set) == [503]

        assert (counts.verdicts(), counts.requests()) == ({"SYS_002": 1}, {"503": 1})

    def test_late_reply_after_a_stale_verdict_is_not_counted(self, data: Data, worker: Worker, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        worker.code(data.secret)
        worker.clock.now += LEASE_SECONDS
        counts = Counts()

        with database_that_hangs() as go_on:
            assert on_the_event_loop([(VALIDATE, {"api_key": data.secret})], meanwhile=go_on.set) == [200]

        assert (counts.verdicts(), counts.requests()) == ({"VALID": 1}, {"200": 1})
