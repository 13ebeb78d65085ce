"""The metrics of verifications: each verdict that is told is counted once, however it is asked for."""

from __future__ import annotations

import asyncio
import io
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
from apikeys.tests.worker import Scene, Worker
from apikeys.verification import KeyFacts, records
from core.epoch import LEASE_SECONDS
from core.http import metrics
from core.http.surfaces import INTERNAL
from internal_api.fastpath import keys as shortcut
from maim.server import rsgi
from maim.server.rsgi import InternalApplication
from maim.wsgi import application
from tests.support.client import SurfaceClient
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

Question = tuple[str, dict[str, Any]]
Sender = Callable[[Sequence[Question]], list[int]]


class Counts:
    """What was counted since this was made."""

    def __init__(self) -> None:
        self._before = self._all()

    def verdicts(self) -> dict[str, int]:
        """By code."""
        return {code: number for (name, code), number in self._since().items() if name == "maim_key_verifications"}

    def requests(self) -> dict[str, int]:
        """By status."""
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


class Exchange:
    """A question as Granian hands it on, which is the request, its headers and the way to answer it."""

    method, query_string, http_version, client = "POST", "", "1.1", "127.0.0.1:50000"

    def __init__(self, path: str, body: dict[str, Any]) -> None:
        self.path, self.headers, self._body = path, self, json.dumps(body).encode()
        self._named = {
            "content-type": "application/json",
            "content-length": str(len(self._body)),
            "host": "localhost",
        }
        self.statuses: list[int] = []

    def keys(self) -> list[str]:
        return list(self._named)

    def get(self, name: str, default: str | None = None) -> str | None:
        return self._named.get(name, default)

    def get_all(self, name: str) -> list[str]:
        return [self._named[name]] if name in self._named else []

    def __contains__(self, name: str) -> bool:
        return name in self._named

    async def __call__(self) -> bytes:
        return self._body

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.statuses.append(status)


def on_the_event_loop(questions: Sequence[Question], *, meanwhile: Callable[[], None] = lambda: None) -> list[int]:
    """As `serve` answers; the statuses. `meanwhile` is called when all are answered and before the server ends."""

    async def serve() -> list[int]:
        app: Any = InternalApplication(INTERNAL)
        app.__rsgi_init__(asyncio.get_running_loop())
        exchanges = [Exchange(*question) for question in questions]
        for exchange in exchanges:
            await app.__rsgi__(exchange, exchange)
        meanwhile()
        app.__rsgi_del__(asyncio.get_running_loop())
        return [status for exchange in exchanges for status in exchange.statuses]

    return asyncio.run(serve())


def below_django(questions: Sequence[Question]) -> list[int]:
    """As any other WSGI server answers."""
    statuses: list[int] = []
    for path, body in questions:
        content = json.dumps(body).encode()
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "SERVER_PORT": str(INTERNAL.bind.port),
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(content)),
            "HTTP_HOST": "localhost",
            "wsgi.input": io.BytesIO(content),
        }
        application(environ, lambda status, headers: statuses.append(int(status.partition(" ")[0])))
    return statuses


def in_views(questions: Sequence[Question]) -> list[int]:
    """As Django answers what is left to it."""
    client = SurfaceClient(INTERNAL)
    return [client.send("POST", path, body).status_code for path, body in questions]


@pytest.fixture(params=[on_the_event_loop, below_django, in_views])
def send(request: pytest.FixtureRequest) -> Sender:
    """Each way to send requests in turn."""
    chosen: Sender = request.param
    return chosen


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker with a good lease, which answers all requests."""
    worker = Worker(monkeypatch)
    worker.renew()
    worker.take_over(monkeypatch)
    return worker


@pytest.fixture(autouse=True)
def _connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the event loop's threads, as the end of a worker's process does."""

    def closing(answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def answer_and_close(asked: Any) -> Any:
            try:
                return answer(asked)
            finally:
                if threading.current_thread() is not threading.main_thread():
                    connection.close()

        return answer_and_close

    monkeypatch.setattr(shortcut, "answered", closing(shortcut.answered))
    monkeypatch.setattr(rsgi, "_answer", closing(rsgi._answer))


@pytest.fixture
def scene(alice: Person) -> Scene:
    return Scene(alice)


def test_each_verdict_is_counted_once_by_its_code(send: Sender, scene: Scene) -> None:
    disabled = scene.another_disabled()
    asked: list[dict[str, Any]] = [
        {"api_key": scene.secret},
        {"api_key": scene.secret},  # remembered
        {"api_key": scene.secret, "required_permission": "admin"},
        {"api_key": disabled},
        {"api_key": UNKNOWN},
        {"api_key": UNKNOWN},
        {"api_key": "nonsense"},
    ]
    counts = Counts()

    assert send([(VALIDATE, body) for body in asked]) == [200] * len(asked)

    assert counts.verdicts() == {"VALID": 3, "AUTH_004": 1, "AUTH_005": 2, "AUTH_001": 1}
    assert counts.requests() == {"200": len(asked)}


def test_that_there_is_none_to_be_had_is_counted_once(send: Sender, scene: Scene, worker: Worker) -> None:
    worker.lose()
    counts = Counts()

    assert send([(VALIDATE, {"api_key": scene.secret})]) == [503]

    assert (counts.verdicts(), counts.requests()) == ({"SYS_002": 1}, {"503": 1})


def test_a_fault_is_a_request_and_no_verdict(send: Sender, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(records, "find", fail)
    counts = Counts()

    assert send([(VALIDATE, {"api_key": scene.secret})]) == [500]

    assert (counts.verdicts(), counts.requests()) == ({}, {"500": 1})


def test_questions_that_are_no_verification_are_requests_alone(send: Sender, scene: Scene) -> None:
    counts = Counts()

    send([(CHECK, {"api_key": scene.secret, "permission": "chat"}), (PARSE, {"api_key": scene.secret})])

    assert (counts.verdicts(), counts.requests()) == ({}, {"200": 2})


def test_of_many_at_once_each_is_counted_once(send: Sender, scene: Scene) -> None:
    keys = [scene.secret, UNKNOWN, scene.secret, "nonsense", scene.secret]
    counts = Counts()

    send([(MANY, {"items": [{"api_key": key} for key in keys]})])

    assert counts.verdicts() == {"VALID": 3, "AUTH_005": 1, "AUTH_001": 1}
    assert counts.requests() == {"200": 1}


@contextmanager
def database_that_hangs() -> Iterator[threading.Event]:
    """Questions are taken, and answered once the event is set; nobody waits for that long."""
    go_on = threading.Event()

    def find(digests: Sequence[str]) -> dict[str, KeyFacts]:
        assert go_on.wait(WAIT)
        return {}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(records, "find", find)
        patched.setattr(rsgi, "ANSWER_SECONDS", 0.05)
        yield go_on
        go_on.set()


class TestAnAnswerThatComesTooLate:
    """It is not counted beside the one that was given instead."""

    def test_where_there_was_none(self, scene: Scene) -> None:
        counts = Counts()

        with database_that_hangs() as go_on:
            assert on_the_event_loop([(VALIDATE, {"api_key": scene.secret})], meanwhile=go_on.set) == [503]

        assert (counts.verdicts(), counts.requests()) == ({"SYS_002": 1}, {"503": 1})

    def test_where_it_was_what_was_last_known(self, scene: Scene, worker: Worker, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        worker.code(scene.secret)
        worker.clock.now += LEASE_SECONDS
        counts = Counts()

        with database_that_hangs() as go_on:
            assert on_the_event_loop([(VALIDATE, {"api_key": scene.secret})], meanwhile=go_on.set) == [200]

        assert (counts.verdicts(), counts.requests()) == ({"VALID": 1}, {"200": 1})
