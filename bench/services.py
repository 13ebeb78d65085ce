"""The measured servers, of which one runs at a time.

The others are stopped by SIGSTOP, so that their threads take no time from the measured one.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx
import psutil

from bench import references
from bench.databases import ROOT, Databases, Key, Population
from bench.load import TIMEOUT_SECONDS, Load, Measurement
from tests.support.instances import free_port, wait_until
from tests.support.server import SETTINGS, MaimServer

S = TypeVar("S", bound="Service")

VALIDATE = "/api/v2/auth/validate-api-key"
# After a server was stopped, its threads catch up.
WARM_UP_SECONDS = 1
# MariaDB still works for the server before.
SETTLE_SECONDS = 0.25


class Service:
    """A server with its processes and a health check."""

    def __init__(self, base: str, answers: Callable[[httpx.Client], bool]) -> None:
        self.base = base
        self._client = httpx.Client(base_url=base, timeout=TIMEOUT_SECONDS)
        self._answers = answers

    @property
    def pid(self) -> int:
        """The id of the server's root process."""
        raise NotImplementedError

    def cpu_seconds(self) -> float:
        """Return the processor time of all processes so far."""
        total = 0.0
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # ended after it was listed
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def pause(self) -> None:
        """Stop all processes by SIGSTOP."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the processes, and return when the server answers."""
        self._signal_all(signal.SIGCONT)
        wait_until(self._is_well, f"{self.base} answers")

    def end(self) -> None:
        """End the server, whether or not it is stopped."""
        self._signal_all(signal.SIGCONT)
        self._client.close()
        self._terminate()

    def _terminate(self) -> None:
        raise NotImplementedError

    def _processes(self) -> list[psutil.Process]:
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]

    def _signal_all(self, signum: signal.Signals) -> None:
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # ended after it was listed
                process.send_signal(signum)

    def _is_well(self) -> bool:
        try:
            return self._answers(self._client)
        except httpx.TransportError:
            return False


class Reference(Service):
    """One of the servers that maim is compared with."""

    def __init__(self, name: str) -> None:
        port = free_port()
        body = {"api_key": "mmc_"}
        super().__init__(f"http://127.0.0.1:{port}", lambda client: client.post(references.PATH, json=body).is_success)
        self._process = subprocess.Popen([sys.executable, "-m", "bench.references", name, str(port)], cwd=ROOT)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _terminate(self) -> None:
        # There is nothing to finish, and Granian may miss a SIGTERM right after SIGCONT.
        self._signal_all(signal.SIGKILL)
        self._process.wait()


class Maim(Service):
    """`manage.py serve` with default settings, on a database with keys."""

    def __init__(self, server: MaimServer, keys: list[Key]) -> None:
        self.keys = keys
        self._server = server
        probe = {"api_key": keys[0].secret, "check_rate_limit": False}
        super().__init__(server.internal, lambda client: client.post(VALIDATE, json=probe).is_success)
        server.launch()
        server.wait_until_ready()

    @property
    def pid(self) -> int:
        return self._server.pid

    def _terminate(self) -> None:
        self._server.stop()

    @property
    def public(self) -> str:
        """The URL of the public surface."""
        return self._server.public

    @property
    def secrets(self) -> list[str]:
        return [key.secret for key in self.keys]

    @contextmanager
    def without_auditor(self) -> Iterator[None]:
        """Stop the process that chains audit entries, by SIGSTOP."""
        auditor = self._server.auditor
        auditor.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            auditor.send_signal(signal.SIGCONT)

    def memory(self) -> tuple[int, int]:
        """Return the RSS and USS of the internal worker in bytes."""
        workers = re.findall(r"internal worker (\d+) serves", self._server.log)
        memory = psutil.Process(int(workers[-1])).memory_full_info()
        return memory.rss, memory.uss


class Services:
    """All servers of a run, each started on its first use."""

    def __init__(self, directory: Path, databases: Databases, stack: ExitStack) -> None:
        self._directory = directory
        self._databases = databases
        self._stack = stack
        self._maims: dict[Population, Maim] = {}
        self._running: Service | None = None
        self._references: dict[str, Reference] = {}

    def reference(self, name: str) -> Reference:
        """Return one of the servers that maim is compared with (bench.references)."""
        if name not in self._references:
            self._references[name] = self.begin(partial(Reference, name))
        return self._references[name]

    def maim(self, population: Population) -> Maim:
        """Return the maim that serves this population."""
        if population not in self._maims:
            self._maims[population] = self.new_maim(population)
        return self._maims[population]

    def new_maim(self, population: Population) -> Maim:
        """Return a new maim that has received no requests."""
        seeded = self._databases.seeded(population)
        directory = Path(tempfile.mkdtemp(prefix="maim-", dir=self._directory))
        environment = {**seeded.environment, "DJANGO_SETTINGS_MODULE": SETTINGS}
        return self.begin(partial(Maim, MaimServer(directory, population.name, **environment), seeded.keys))

    def run_only(self, service: Service) -> None:
        """Continue one server, and stop the one that ran."""
        if self._running is not service:
            self._pause_running()
            service.resume()
            self._running = service

    def measure(self, service: Service, load: Load, seconds: int, *, warm_up: bool = True) -> Measurement:
        """Run a load on one server, while the others are stopped."""
        self.run_only(service)
        time.sleep(SETTLE_SECONDS)
        if warm_up:
            load.run(service.base, WARM_UP_SECONDS)
        statements, secrets_read = self._databases.statements(), self._databases.secrets_read()
        cpu_seconds = service.cpu_seconds()
        measured = load.run(service.base, seconds)
        return replace(
            measured,
            cpu_seconds=service.cpu_seconds() - cpu_seconds,
            statements=self._databases.statements() - statements,
            secrets_read=self._databases.secrets_read() - secrets_read,
        )

    def begin(self, start: Callable[[], S]) -> S:
        """Start a server that runs from now on, until the end of all."""
        self._pause_running()
        service = start()
        self._stack.callback(service.end)
        self._running = service
        service.resume()
        return service

    def _pause_running(self) -> None:
        if self._running is not None:
            self._running.pause()
            self._running = None
