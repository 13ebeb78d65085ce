"""The acceptance of connections on a listening socket, many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from socket import socket

log = logging.getLogger("maim.server")

# Connections that the system holds until the event loop accepts them. Beyond, a client tries again after seconds.
BACKLOG = 4096
MAX_AT_ONCE = 64
_RETRY_SECONDS = 1.0


_connecting: set[asyncio.Task[object]] = set()  # the event loop holds none itself


def connect(client: socket, make_protocol: Callable[[], asyncio.BaseProtocol]) -> None:
    """Serve a connected socket by a protocol on the running event loop."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(loop.connect_accepted_socket(make_protocol, client))
    _connecting.add(task)
    task.add_done_callback(_connecting.discard)


class Acceptor:
    """The connections of a listening socket on the running event loop, each with a protocol of `make_protocol`.

    A server of uvloop accepts one connection before it looks at all the others again. So beside thousands of clients
    that send requests, a newcomer would wait for seconds.
    """

    def __init__(self, listener: socket, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listener, self._make_protocol = listener, make_protocol
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept no more connections."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        """Accept the connections that wait, but not so many that those before them would wait for a response."""
        for _ in range(MAX_AT_ONCE):
            try:
                client, _address = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:  # such as too many open files: the socket stays ready, and the loop would spin
                log.error("no connection can be accepted for the next second: %s", error)
                self._loop.remove_reader(self._listener)
                self._again = self._loop.call_later(_RETRY_SECONDS, self._loop.add_reader, self._listener, self._accept)
                return
            connect(client, self._make_protocol)
