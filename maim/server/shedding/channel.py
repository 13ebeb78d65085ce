"""Connections and numbers that a worker and its shedder pass each other."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from enum import Enum
from multiprocessing import sharedctypes
from socket import AF_UNIX, SHUT_WR, SOCK_SEQPACKET, recv_fds, send_fds, socket, socketpair

# The most that was read of a request and is passed with its connection. Linux's default buffer holds it.
MAX_DATA_BYTES = 96 * 1024
_RECEIVED_AT_ONCE = 64


class Purpose(Enum):
    """The use that the receiver of a connection is to make of it."""

    REFUSE = b"r"  # to the shedder: refuse what comes next
    SERVE = b"s"  # to the worker: serve this request; the connection may be passed to the shedder again
    KEEP = b"k"  # to the worker: serve this request, and do not pass the connection again


class State(ctypes.Structure):
    """State that both processes share without a lock, and that may be some milliseconds old.

    `room` is how many requests the worker would take: it sets the number, and the shedder counts down.
    `keeps_connections` is False while the worker closes connections because there are many. `held` is the number of
    connections that the shedder has.
    """

    room: int
    keeps_connections: bool
    held: int
    _fields_ = (("room", ctypes.c_long), ("keeps_connections", ctypes.c_bool), ("held", ctypes.c_long))


def shared_state() -> State:
    """Return a state that this process shares with those forked from it."""
    return sharedctypes.RawValue(State)


class Channel:
    """One of two ends of a channel, through which processes pass each other connected sockets."""

    def __init__(self, end: socket) -> None:
        self._end = end
        end.setblocking(False)

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        one, other = socketpair(AF_UNIX, SOCK_SEQPACKET)
        return cls(one), cls(other)

    def open(self, receive: Callable[[Purpose, socket, bytes], None], ended: Callable[[], None]) -> None:
        """Call `receive` on the running event loop with each connection, and `ended` when no more will come."""
        asyncio.get_running_loop().add_reader(self._end, self._receive, receive, ended)

    def send(self, purpose: Purpose, fileno: int, data: bytes = b"") -> bool:
        """Pass a connection and what was read from it. It stays open here, too.

        Return False if the other end has to receive others before. Raise OSError if it is gone.
        """
        try:
            send_fds(self._end, [purpose.value, data], [fileno])
        except BlockingIOError:
            return False
        return True

    def call_when_writable(self, function: Callable[[], None]) -> None:
        """Call a function whenever another connection can be passed, until `stop_calling`."""
        asyncio.get_running_loop().add_writer(self._end, function)

    def stop_calling(self) -> None:
        asyncio.get_running_loop().remove_writer(self._end)

    def end_sending(self) -> None:
        """Tell the other end that nothing more comes."""
        self._end.shutdown(SHUT_WR)

    def close(self) -> None:
        """Close this end in this process. Others may have it, too."""
        self._end.close()

    def _receive(self, receive: Callable[[Purpose, socket, bytes], None], ended: Callable[[], None]) -> None:
        for _ in range(_RECEIVED_AT_ONCE):
            try:
                message, filenos, _flags, _address = recv_fds(self._end, 1 + MAX_DATA_BYTES, 1)
            except BlockingIOError:
                return
            except ConnectionResetError:  # it died with connections in the channel
                message, filenos = b"", []
            if not message:
                asyncio.get_running_loop().remove_reader(self._end)
                ended()
                return
            for fileno in filenos:  # none if this process has too many files open: the client is disconnected
                receive(Purpose(message[:1]), socket(fileno=fileno), message[1:])
