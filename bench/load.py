"""Load by wrk, which sends requests over 16 connections as fast as they are answered."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 16
SCRIPT = Path(__file__).with_name("load.lua")
WALK_SECONDS = 300


class Wrong(Exception):
    """A measurement of something other than what was meant."""


@dataclass(frozen=True)
class Measurement:
    """The result of one run of wrk, with what the server and MariaDB did meanwhile.

    `cpu_seconds` is the processor time of the server's processes, `statements` and `secrets_read` are MariaDB's.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float = 0.0
    statements: int = 0
    secrets_read: int = 0

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time a request. Other work on the machine changes it less than the rate."""
        return self.cpu_seconds / self.requests * 1e6


class Load:
    """The requests of a run: one GET repeated, or POSTs with random bodies from a file with one body a line.

    With `ordered`, bodies are used in order, and each run continues after the one before. With `reads`, they are GETs:
    each line is a path, a tab, and an ETag or nothing. With `puts`, bodies are sent by PUT. `base` overrides the URL of
    the service.
    """

    def __init__(
        self,
        path: str,
        bodies: Path | None = None,
        *,
        expected: str = "",
        ordered: bool = False,
        reads: bool = False,
        puts: bool = False,
        base: str | None = None,
        headers: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.expected = expected
        self._bodies = bodies
        self._mode = "get" if reads else "put" if puts else "ordered" if ordered else "drawn"
        self._base = base
        self._headers = headers
        self._next = 0

    def run(self, base: str, seconds: int) -> Measurement:
        """Run for so many seconds. Raise Wrong if a request failed or its status was not 200."""
        arguments = []
        if self._bodies is not None:
            arguments = [self._mode, str(self._bodies), str(self._next)]
        output = _wrk((self._base or base) + self.path, seconds, arguments, self._headers)
        told = json.loads(output.splitlines()[-1])
        if told.pop("failures"):
            raise Wrong(f"failures at {self.path}:\n{output}")
        self._next += told["requests"] + CONNECTIONS
        return Measurement(**told)

    def walk(self, base: str, *, first: int = 0, last: int | None = None) -> None:
        """Send each body once and in order, or those from `first` to before `last`.

        Raise Wrong if a response does not contain the expected text.
        """
        assert self._bodies is not None
        lines = self._bodies.read_text().splitlines()[first:last]
        part = self._bodies.with_suffix(".part")
        part.write_text("\n".join(lines))
        _wrk(base + self.path, WALK_SECONDS, ["walk", str(part), "0", self.expected])


def _wrk(url: str, seconds: int, arguments: list[str], headers: Sequence[str] = ()) -> str:
    sent = [part for header in headers for part in ("-H", header)]
    run = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", *sent, "-s", str(SCRIPT), url, "--", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        raise Wrong(f"wrk at {url}:\n{run.stdout}{run.stderr}")
    return run.stdout
