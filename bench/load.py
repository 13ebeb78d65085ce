"""Load by wrk, which sends requests over a number of connections as fast as they are answered."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

CLIENTS = 16
SCRIPT = Path(__file__).with_name("load.lua")
WALK_SECONDS = 300
# Of one request, on a machine that is busy with other things.
TIMEOUT_SECONDS = 30
_BETWEEN_HEADERS = "\x1f"


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


class Request(NamedTuple):
    """A request, with its body as a JSON document."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = {}

    def line(self) -> str:
        """Return the request as load.lua reads it."""
        headers = _BETWEEN_HEADERS.join(f"{name}: {value}" for name, value in self.headers.items())
        body = "" if self.body is None else json.dumps(self.body)
        return "\t".join((self.method, self.path, headers, body))


class Load:
    """The requests of a run, in a file: drawn at random, or with `ordered` one after the other and in a circle.

    An ordered load goes on after the run before. `base` is the URL of the service if it is another than usual.
    """

    def __init__(
        self,
        file: Path,
        requests: Iterable[Request],
        *,
        expected: str = "",
        ordered: bool = False,
        clients: int = CLIENTS,
        base: str | None = None,
    ) -> None:
        self._file = file
        file.write_text("\n".join(request.line() for request in requests))
        self._expected = expected
        self._mode = "ordered" if ordered else "drawn"
        self._clients = clients
        self._base = base
        self._next = 0

    def run(self, base: str, seconds: int) -> Measurement:
        """Run for so many seconds. Raise Wrong if a request failed or its status was an error."""
        output = self._wrk(base, seconds, self._mode, self._file, self._next)
        told = json.loads(output.splitlines()[-1])
        if not told["requests"]:
            raise Wrong(f"no request was answered within {seconds} s")
        self._next += told["requests"] + self._clients
        return Measurement(**told)

    def walk(self, base: str, *, first: int = 0, last: int | None = None) -> None:
        """Send each request once and in order, or those from `first` to before `last`.

        Raise Wrong if a response does not contain the expected text.
        """
        part = self._file.with_suffix(".part")
        part.write_text("\n".join(self._file.read_text().splitlines()[first:last]))
        self._wrk(base, WALK_SECONDS, "walk", part, 0)

    def _wrk(self, base: str, seconds: int, mode: str, file: Path, first: int) -> str:
        options = ["-t1", f"-c{self._clients}", f"-d{seconds}", "--timeout", f"{TIMEOUT_SECONDS}s", "-s", str(SCRIPT)]
        arguments = [mode, str(file), str(first), str(self._clients), self._expected]
        url = self._base or base
        run = subprocess.run(
            ["wrk", *options, url, "--", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds + 2 * TIMEOUT_SECONDS,
        )
        if run.returncode:
            lines = (run.stdout + run.stderr).splitlines() or ["no output"]
            raise Wrong(f"wrk at {url}: {lines[-1]}")  # where load.lua and wrk say why
        return run.stdout
