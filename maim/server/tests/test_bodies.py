"""Reads of bodies end after MAIM_REQUEST_TIMEOUT_SECONDS, and only those that take as long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import pytest

from maim.server import bodies
from maim.server.bodies import BodyReader

pytestmark = pytest.mark.embedded

SCOPE: Any = SimpleNamespace(headers={"content-length": "4"})


class Client:
    """A client that sends its body when `send` is called."""

    def __init__(self) -> None:
        self._body = asyncio.get_running_loop().create_future()

    def __call__(self) -> asyncio.Future[bytes]:
        return self._body

    def send(self) -> None:
        self._body.set_result(b"body")


def watched(test: Callable[[BodyReader], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with a reader that looks for late reads all the time."""
    monkeypatch.setattr(bodies, "_WATCH_EVERY_SECONDS", 0)

    async def run() -> None:
        reader = BodyReader()
        watch = asyncio.create_task(reader.watch())
        await asyncio.wait_for(test(reader), 10)
        watch.cancel()
        assert reader._reading == {}

    asyncio.run(run())


def long_ago(reader: BodyReader) -> float:
    return perf_counter() - reader._seconds - 1


def test_late_body_times_out_and_the_next_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(reader: BodyReader) -> None:
        with pytest.raises(TimeoutError):
            await reader.read(SCOPE, Client(), long_ago(reader))  # type: ignore[arg-type]  # a double
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

        client = Client()
        client.send()
        assert await reader.read(SCOPE, client, perf_counter()) == b"body"  # type: ignore[arg-type]  # a double

    watched(test, monkeypatch)


def test_body_may_come_while_others_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(reader: BodyReader) -> None:
        client = Client()
        read = asyncio.create_task(reader.read(SCOPE, client, perf_counter()))  # type: ignore[arg-type]  # a double
        with pytest.raises(TimeoutError):
            await reader.read(SCOPE, Client(), long_ago(reader))  # type: ignore[arg-type]  # a double

        client.send()

        assert await read == b"body"

    watched(test, monkeypatch)


def test_read_that_somebody_else_cancels_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(reader: BodyReader) -> None:
        read = asyncio.create_task(reader.read(SCOPE, Client(), perf_counter()))  # type: ignore[arg-type]  # a double
        await asyncio.sleep(0)

        read.cancel()

        with pytest.raises(asyncio.CancelledError):
            await read

    watched(test, monkeypatch)
