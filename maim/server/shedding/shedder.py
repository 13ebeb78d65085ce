"""The worker's handle of its shedder."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from socket import socket
from typing import Protocol

from core.http.surfaces import Surface
from maim.server.shedding import process
from maim.server.shedding.channel import Channel, Purpose, shared_state

log = logging.getLogger("maim.server")

# How often the shedder is told how many requests the worker has room for.
TELL_EVERY_SECONDS = 0.01
PLENTY = 1000  # while it has no connections

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


class Shedder:
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
        self._telling: asyncio.TimerHandle | None = None

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
        if is_taken and self._telling is None:
            self._tell(self._server.room)
        return is_taken

    def _tell(self, room: int) -> None:
        """Tell the shedder how much room there is, and every now and then again."""
        self._state.room, self._state.keeps_connections = room, self._server.keeps_connections
        self._telling = asyncio.get_running_loop().call_later(TELL_EVERY_SECONDS, self._tell_again)

    def _tell_again(self) -> None:
        if self.held:
            self._tell(self._server.room)
        elif self._state.room != PLENTY:
            self._tell(PLENTY)
        else:  # also for a connection that has yet to arrive there
            self._telling = None

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
        process.run(surface, other_end, self._state)
