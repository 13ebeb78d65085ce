"""Runs wrk, which asks as fast as it is answered, over 16 connections from one thread."""

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
    """What was measured is not what was meant to be measured."""


@dataclass(frozen=True)
class Measurement:
    """What came of one run of wrk; how many statements MariaDB was sent meanwhile, how many secrets it found."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    statements: int = 0
    secrets_read: int = 0

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


class Load:
    """What is asked: the same GET again and again, or POSTs whose bodies are drawn from a file, one a line.

    With `ordered`, the bodies are taken one after the other, and each run goes on where the last one ended. With
    `reads`, GETs: each line is a path, a tab, and an ETag or nothing. `base` is where to ask, if not where the
    service is asked otherwise.
    """

    def __init__(
        self,
        path: str,
        bodies: Path | None = None,
        *,
        expected: str = "",
        ordered: bool = False,
        reads: bool = False,
        base: str | None = None,
        headers: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.expected = expected
        self._bodies = bodies
        self._mode = "get" if reads else "ordered" if ordered else "drawn"
        self._base = base
        self._headers = headers
        self._next = 0

    def run(self, base: str, seconds: int) -> Measurement:
        """Asks for so long; raises Wrong when anything failed or was answered by another status than 200."""
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
        """Asks each body once, in order, or those from `first` to before `last`.

        Raises Wrong when an answer does not hold what is expected.
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
