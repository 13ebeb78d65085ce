"""The acceptance of connections: newcomers do not wait for others, and a lack of files ends nothing."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any, cast

import pytest
import uvloop

from maim.server import acceptor
from maim.server.acceptor import BACKLOG, MAX_AT_ONCE, Acceptor
from tests.support.instances import WAIT

pytestmark = pytest.mark.embedded


class FullListener:
    """A listening socket that has no files left until it is told otherwise."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.tries = 0
        self.is_full = True

    def accept(self) -> tuple[socket.socket, Any]:
        self.tries += 1
        if self.is_full:
            raise OSError(errno.EMFILE, "Too many open files")
        return self._listener.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


class Connected(asyncio.Protocol):
    """A protocol that notes its connection."""

    def __init__(self, connected: list[asyncio.BaseTransport]) -> None:
        self._connected = connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connected.append(transport)


class Clients:
    """Clients of a listening socket, and the connections that it accepted."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=BACKLOG))
        self.connected: list[asyncio.BaseTransport] = []

    def connect(self, number: int) -> None:
        for _ in range(number):
            self._stack.enter_context(socket.create_connection(self.listener.getsockname(), timeout=WAIT))

    def protocol(self) -> asyncio.Protocol:
        return Connected(self.connected)

    async def until_connected(self, number: int) -> int:
        """Wait for so many connections, and return how many turns of the event loop that took."""
        turns = 0
        async with asyncio.timeout(WAIT):
            while len(self.connected) < number:
                await asyncio.sleep(0)
                turns += 1
        return turns


@pytest.fixture
def clients() -> Iterator[Clients]:
    with ExitStack() as stack:
        yield Clients(stack)


def run(scenario: Callable[[], Awaitable[None]], clients: Clients) -> None:
    """Run a scenario on an event loop of its own, and close the connections, for which the loop's end would wait."""

    async def main() -> None:
        try:
            await scenario()
        finally:
            for connection in clients.connected:
                connection.close()
            await asyncio.sleep(0)

    uvloop.run(main())


def test_all_that_wait_are_accepted_in_a_few_turns_of_the_loop(clients: Clients) -> None:
    clients.connect(2 * MAX_AT_ONCE)

    async def scenario() -> None:
        with closing(Acceptor(clients.listener, clients.protocol)):
            turns = await clients.until_connected(2 * MAX_AT_ONCE)
        assert turns < MAX_AT_ONCE, "one in each turn would have taken twice as many"

    run(scenario, clients)


def test_lack_of_files_is_logged_and_waited_for(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor, "_RETRY_SECONDS", 0.05)
    listener = FullListener(clients.listener)
    clients.connect(1)

    async def scenario() -> None:
        with (
            caplog.at_level(logging.ERROR, "maim.server"),
            closing(Acceptor(cast("socket.socket", listener), clients.protocol)),
        ):
            async with asyncio.timeout(WAIT):
                while listener.tries < 3:
                    await asyncio.sleep(0)
            assert len(caplog.messages) == 3
            assert "Too many open files" in caplog.text
            listener.is_full = False
            await clients.until_connected(1)

    run(scenario, clients)


def test_closed_acceptor_does_not_try_again(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "_RETRY_SECONDS", 0)
    listener = FullListener(clients.listener)
    clients.connect(1)

    async def scenario() -> None:
        with closing(Acceptor(cast("socket.socket", listener), clients.protocol)):
            async with asyncio.timeout(WAIT):
                while not listener.tries:
                    await asyncio.sleep(0)
        tries = listener.tries
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert listener.tries == tries

    run(scenario, clients)
