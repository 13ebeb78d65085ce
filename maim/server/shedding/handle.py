"""The shedder as its worker sees it."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from socket import socket
from typing import Protocol

from core.http.surfaces import Surface
from maim.server.shedding import shedder
from maim.server.shedding.channel import Channel, Purpose, shared_state

log = logging.getLogger("maim.server")

# How often the worker publishes how many requests it has room for, while the shedder has connections.
PUBLISH_EVERY_SECONDS = 0.01
# The room that is published for connections that arrive when nothing is published: what they ask comes back at once.
ROOM_WHILE_IDLE = 1000

_fork = multiprocessing.get_context("fork")


class Server(Protocol):
    """The server of a worker."""

    @property
    def room(self) -> int:
        """The number of requests that may come now before the next is refused."""

    @property
    def keeps_connections(self) -> bool:
        """True while the server keeps connections open after a response."""

    def take_back(self, client: socket, data: bytes, *, may_be_shed: bool) -> None:
        """Serve a connection again, and first the request of which `data` was read."""


class ShedderHandle:
    """A process that refuses requests for the worker that makes it, and ends with it.

    It is forked, so make it before any thread, and close it before the worker ends. `listener` is left to the worker.
    """

    def __init__(self, surface: Surface, listener: socket) -> None:
        self._state = shared_state()
        self._channel, other_end = Channel.pair()
        self._process = _fork.Process(
            target=self._run, args=(surface, listener, other_end), name=f"maim-{surface.name}-shedder", daemon=True
        )
        self._process.start()
        other_end.close()
        self._is_open = False
        self._publishing: asyncio.TimerHandle | None = None

    def start(self, server: Server) -> None:
        """Begin to take connections of a server on the running event loop."""
        self._server = server
        self._channel.open(self._take_back, self._end)
        self._is_open = True

    def stop(self) -> None:
        """Let the shedder close its connections, and end."""
        if self._is_open:
            self._is_open = False
            self._channel.end_sending()

    def close(self) -> None:
        """Let the shedder end if it has not."""
        self._channel.close()

    @property
    def held(self) -> int:
        """The number of connections that the shedder has."""
        return self._state.held if self._is_open else 0

    def take(self, client: int) -> bool:
        """Let the shedder refuse what comes next on a connection. Return False if it cannot.

        The caller must close its own descriptor, but not shut the connection down, which would end it for the shedder.
        """
        try:
            is_taken = self._is_open and self._channel.send(Purpose.REFUSE, client)
        except OSError:
            return False
        if is_taken and self._publishing is None:
            self._publish()
        return is_taken

    def _publish(self) -> None:
        """Publish what the shedder must know of the worker, and every now and then again."""
        self._state.room, self._state.keeps_connections = self._server.room, self._server.keeps_connections
        self._publishing = asyncio.get_running_loop().call_later(PUBLISH_EVERY_SECONDS, self._publish_again)

    def _publish_again(self) -> None:
        if self.held:
            self._publish()
        else:
            self._state.room = ROOM_WHILE_IDLE
            self._publishing = None

    def _take_back(self, purpose: Purpose, client: socket, data: bytes) -> None:
        self._server.take_back(client, data, may_be_shed=purpose == Purpose.SERVE)

    def _end(self) -> None:
        if self._is_open:
            self._is_open = False
            log.error("the shedder of this worker has ended; the worker refuses by itself from now on")
        self._channel.close()

    def _run(self, surface: Surface, listener: socket, other_end: Channel) -> None:
        listener.close()
        self._channel.close()
        shedder.run(surface, other_end, self._state)
