"""Servers and commands in processes: new ones, or forks of one that has imported the libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.support.instances import WAIT, wait_until

_ROOT = Path(__file__).resolve().parents[2]
# The timeout of a command, which is far more than any takes.
SECONDS = 10 * WAIT
_fork_server: _ForkServer | None = None


class Process(Protocol):
    """The part of `subprocess.Popen` that tests use."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float, /) -> int: ...
    def send_signal(self, signum: int, /) -> None: ...


def start(arguments: Sequence[str], environment: dict[str, str], log: Path) -> Process:
    """Start a Python program that appends its output and errors to a log."""
    if _fork_server is not None:
        log.touch()
        return _Fork(_fork_server, arguments, environment, log, log)
    with log.open("ab") as file:
        command = [sys.executable, *arguments]
        return subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=file, stderr=file)


def run(arguments: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a Python program, and return its exit status, output and errors."""
    command = [sys.executable, *arguments]
    if _fork_server is None:
        return subprocess.run(
            command, cwd=_ROOT, env=environment, check=False, capture_output=True, text=True, timeout=SECONDS
        )
    with tempfile.TemporaryDirectory() as directory:
        output, errors = Path(directory, "output"), Path(directory, "errors")
        status = _Fork(_fork_server, arguments, environment, output, errors).wait(SECONDS)
        return subprocess.CompletedProcess(command, status, output.read_text(), errors.read_text())


@contextmanager
def forking() -> Iterator[None]:
    """Fork all processes that are started in the block, which takes half the time of new ones."""
    global _fork_server  # noqa: PLW0603  # one fork server serves all tests of this process
    previous, _fork_server = _fork_server, _ForkServer()
    try:
        yield
    finally:
        _fork_server.end()
        _fork_server = previous


class _ForkServer:
    """The process from which others are forked. It starts when the first is."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def ask(self, **request: Any) -> Any:
        """Send a request, and return the response."""
        with self._lock:
            if self._process is None:
                command = [sys.executable, "-m", "tests.support.fork_server"]
                self._process = subprocess.Popen(
                    command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            print(json.dumps(request), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        if self._process is not None:
            self._process.communicate()


class _Fork:
    """A program that runs in a fork of the fork server."""

    def __init__(
        self, server: _ForkServer, arguments: Sequence[str], environment: dict[str, str], output: Path, errors: Path
    ) -> None:
        self._server = server
        self._status: int | None = None
        self.pid: int = server.ask(arguments=arguments, environment=environment, output=str(output), errors=str(errors))

    def poll(self) -> int | None:
        if self._status is None:
            self._status = self._server.ask(poll=self.pid)
        return self._status

    def wait(self, timeout: float, /) -> int:
        wait_until(lambda: self.poll() is not None, f"process {self.pid} ends", timeout)
        assert self._status is not None
        return self._status

    def send_signal(self, signum: int, /) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)
