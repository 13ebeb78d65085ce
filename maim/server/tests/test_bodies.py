"""Reads of bodies end after MAIM_REQUEST_TIMEOUT_SECONDS, and only those that take as long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any

import pytest

from maim.server import bodies
from maim.server.bodies import BodyReader
from maim.server.exchange import Exchange
from tests.support.fastpath import Client, headers_of

pytestmark = pytest.mark.embedded


def post(started: float) -> Exchange:
    """Return a request that started at this time, and whose body is to come."""
    headers = headers_of([("content-length", "4")])
    exchange = Exchange(Client(), "POST", b"/api/v2/tenants", "1.1", headers, keeps_alive=True)
    exchange.started = started
    return exchange


def send_body(exchange: Exchange) -> None:
    exchange.add_to_body(b"body")
    exchange.end_body()


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
            await reader.read(post(long_ago(reader)))
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

        exchange = post(perf_counter())
        send_body(exchange)
        await reader.read(exchange)
        assert exchange.body == b"body"

    watched(test, monkeypatch)


def test_body_may_come_while_others_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(reader: BodyReader) -> None:
        exchange = post(perf_counter())
        read = asyncio.create_task(reader.read(exchange))
        with pytest.raises(TimeoutError):
            await reader.read(post(long_ago(reader)))

        send_body(exchange)
        await read

        assert exchange.body == b"body"

    watched(test, monkeypatch)


def test_read_that_somebody_else_cancels_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(reader: BodyReader) -> None:
        read = asyncio.create_task(reader.read(post(perf_counter())))
        await asyncio.sleep(0)

        read.cancel()

        with pytest.raises(asyncio.CancelledError):
            await read

    watched(test, monkeypatch)
