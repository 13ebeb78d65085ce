"""Bots: clients that can send the internal surface thousands of requests a second."""

from __future__ import annotations

import json
import socket
import struct
from functools import cache
from types import TracebackType
from typing import Any, NamedTuple, Self

import psutil

from tests.support.instances import wait_until
from tests.support.server import MaimServer

VALIDATE = "/api/v2/auth/validate-api-key"
# Without it, the thousands of closed connections would leave their ports in TIME_WAIT.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class BotResponse(NamedTuple):
    """A response that a bot got."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.body["data"] or {}
        return data

    @property
    def code(self) -> str:
        """The code in the response: VALID or an error's."""
        code: str = self.data.get("code") or self.body["error_code"]
        return code

    @property
    def is_unavailable(self) -> bool:
        """Return whether this is the 503 for a dependency that does not answer."""
        return (self.status, self.code) == (503, "SYS_002") and int(self.headers["retry-after"]) > 0


class Bot:
    """A connection to a server's internal surface."""

    def __init__(self, port: int, timeout: float = 30) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    @property
    def local_port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def validate(self, secret: str, **more: Any) -> BotResponse:
        return self.post(VALIDATE, {"api_key": secret, **more})

    def post(self, path: str, body: dict[str, Any]) -> BotResponse:
        """Send a POST request and return its response. Raise ConnectionError if the server closes the connection."""
        content = json.dumps(body).encode()
        self._socket.sendall(_head(path) + b"%d\r\n\r\n%s" % (len(content), content))
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        status, *lines = received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(received) < end + 4 + int(headers["content-length"]):
            received += self._receive()
        return BotResponse(int(status.split()[1]), headers, json.loads(received[end + 4 :]))

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionError("the server closed the connection")
        return received

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def bot_of_each_worker(maim: MaimServer) -> list[Bot]:
    """Return a connection to each internal worker of a server.

    The kernel chooses the worker of a connection, so this opens connections until each worker has one.
    """
    bots: dict[int, Bot] = {}
    number = int(maim.environment.get("MAIM_WORKERS", 1))
    wait_until(lambda: len(maim.workers("internal")) >= number, "every worker serves")
    workers = maim.workers("internal")[-number:]
    for _ in range(100 * number):
        bot = Bot(maim.internal_port)
        bot.post("/api/v2/auth/parse-api-key", {"api_key": ""})
        worker = next(pid for pid in workers if bot.local_port in _peers(pid))
        if worker in bots:
            bot.close()
        else:
            bots[worker] = bot
        if len(bots) == len(workers):
            return list(bots.values())
    raise AssertionError(f"of {number} workers only {len(bots)} take connections")


def _peers(pid: int) -> set[int]:
    """Return the remote ports of a process's connections."""
    return {connection.raddr.port for connection in psutil.Process(pid).net_connections("tcp4") if connection.raddr}


@cache
def _head(path: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ".encode()
