"""Traffic from a process of its own: `python -m tests.support.traffic LOAD`.

Clients of an overloaded server do not slow down because the server does. So with a rate, requests are sent on time,
each on a connection that is idle or on a new one. Without a rate, each connection sends again when it has a response.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import cast

import uvloop

from tests.support.server import ROOT

TICK_SECONDS = 0.01


@dataclass(frozen=True)
class Load:
    """A whole HTTP request to send for some seconds: over so many connections, or so many times a second."""

    port: int
    request: str
    seconds: float
    connections: int
    per_second: float | None = None

    def run(self) -> Result:
        """Send the requests from another process, and return the result."""
        command = [sys.executable, "-m", "tests.support.traffic", json.dumps(asdict(self))]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return Result(**json.loads(ended.stdout))


@dataclass
class Result:
    """The responses to a load: their seconds by status.

    Beside them are the numbers of requests without a response (`lost`), and of those for which no connection was free.
    """

    took: float = 0.0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    lost: int = 0
    unsent: int = 0

    def number(self, status: int) -> int:
        return len(self.seconds.get(str(status), []))

    def per_second(self, status: int) -> float:
        return self.number(status) / self.took

    def quantile(self, status: int, part: float) -> float:
        """Return the seconds within which this part of the responses with a status came."""
        ordered = sorted(self.seconds[str(status)])
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


class _Client(asyncio.Protocol):
    """A connection with at most one request under way, which is sent as soon as there is a connection."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._sent_at: float | None = time.perf_counter()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self._transport.write(self._run.request)

    def send(self) -> None:
        assert self._transport is not None
        self._sent_at = time.perf_counter()
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        assert self._sent_at is not None
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        head = head.lower()
        if not end or len(body) < int(head.partition(b"content-length: ")[2].partition(b"\r")[0]):
            return
        seconds, self._sent_at, self._received = time.perf_counter() - self._sent_at, None, b""
        may_go_on = b"connection: close" not in head
        if not may_go_on:
            self._transport.close()
        self._run.ended(self, head[9:12].decode(), seconds, may_go_on=may_go_on)

    def connection_lost(self, error: Exception | None) -> None:
        self._run.closed(self, is_lost=self._sent_at is not None)


class _Run:
    """A load under way."""

    def __init__(self, load: Load) -> None:
        self.request = load.request.encode()
        self._load = load
        self._result = Result()
        self._idle: list[_Client] = []
        self._open = 0

    async def run(self) -> Result:
        began, sent = time.perf_counter(), 0
        while (passed := time.perf_counter() - began) < self._load.seconds:
            if self._load.per_second is None:
                due = self._load.connections - self._open  # the others have been closed
            else:
                due = int(passed * self._load.per_second) - sent
            sent += due
            for _ in range(due):
                self._send()
            await asyncio.sleep(TICK_SECONDS)
        self._result.took = passed
        return self._result

    def ended(self, client: _Client, status: str, seconds: float, *, may_go_on: bool) -> None:
        self._result.seconds.setdefault(status, []).append(seconds)
        if may_go_on and self._load.per_second is None:
            client.send()
        elif may_go_on:
            self._idle.append(client)

    def closed(self, client: _Client, *, is_lost: bool) -> None:
        self._open -= 1
        self._result.lost += is_lost
        if client in self._idle:
            self._idle.remove(client)

    def _send(self) -> None:
        if self._idle:
            self._idle.pop().send()
        elif self._open < self._load.connections:
            self._open += 1
            loop = asyncio.get_running_loop()
            connecting = loop.create_connection(lambda: _Client(self), "127.0.0.1", self._load.port)
            loop.create_task(connecting)  # noqa: RUF006  # the connection outlives its task
        else:
            self._result.unsent += 1


def main(load: str) -> None:
    """Send the load that is given as JSON, and write the result as JSON."""
    json.dump(asdict(uvloop.run(_Run(Load(**json.loads(load))).run())), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
