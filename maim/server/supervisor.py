"""The supervisor: one process group for each surface, processes in the background, and the hourly sweep.

    serve ─┬─ public group  ── workers, each with its shedder
           ├─ internal group ─ the same
           ├─ sender of mails
           ├─ auditor, which chains audit entries
           ├─ worker of bulk operations
           ├─ reporter, which records that this server runs
           └─ sweep, once an hour

A group (maim.server.group) restarts a dead worker, and the supervisor a group that ends. If the supervisor is killed,
its children notice that their parent is gone.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from types import FrameType

from django.conf import settings
from django.db import connections

from core import nudges
from core.http import metrics
from core.http.surfaces import SURFACES, Surface
from core.servers import ThisServer
from maim.server import database, group, housekeeping
from maim.server.auditor import Auditor
from maim.server.background import BackgroundProcess
from maim.server.bulk_worker import BulkWorker
from maim.server.connections import raise_file_limit
from maim.server.mailer import Mailer
from maim.server.reporter import Reporter
from maim.server.worker import STOP_SIGNALS

log = logging.getLogger("maim.server")

# Workers have eight seconds to end, six of them for requests (maim.server.http1) and the rest to write what they have
# counted. The whole has ten (docs/operations.md): the last one is for this process, whose own end may take that long on
# a busy machine.
GRACE_SECONDS = 8
STOP_SECONDS = 9.0
POLL_SECONDS = 0.2
ANSWER_SECONDS = 1.0
RESTART_PAUSE_SECONDS = 1.0
SWEEP_EVERY_SECONDS = 3600

BACKGROUND: dict[str, type[BackgroundProcess]] = {
    "sender of mails": Mailer,
    "auditor": Auditor,
    "worker of bulk operations": BulkWorker,
    "reporter": Reporter,
}

_fork = multiprocessing.get_context("fork")


def require_free(surface: Surface) -> None:
    """Raise OSError if the surface's address is not free."""
    with socket.socket(socket.AF_INET6 if ":" in surface.bind.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(surface.bind)


class Supervisor:
    """The process that runs both surfaces until SIGTERM or SIGINT."""

    def __init__(self, surfaces: tuple[Surface, ...] = SURFACES) -> None:
        self._surfaces = surfaces
        self._groups: dict[Surface, BaseProcess] = {}
        self._background: dict[str, BaseProcess] = {}
        self._wait: database.Wait | None = None
        # No Event, which deadlocks when a signal handler sets it during a wait.
        self._stop_until: float | None = None

    def run(self, wait_seconds: int = 0) -> None:
        """Start the surfaces, watch them, and return when all have ended.

        With `wait_seconds`, the database does not answer yet: raise CommandError if it is not usable after these.
        """
        raise_file_limit()
        metrics_dir = tempfile.mkdtemp(prefix="maim-metrics-")
        metrics.use_shared_directory(metrics_dir)
        nudges.open_pipe()
        Reporter.server = ThisServer()
        for signum in STOP_SIGNALS:
            signal.signal(signum, self._stop)
        try:
            if wait_seconds:
                self._wait = database.Wait(wait_seconds)
            for surface in self._surfaces:
                self._start(surface)
            self._watch()
        finally:
            self._end_processes()
            shutil.rmtree(metrics_dir, ignore_errors=True)
            gc.freeze()  # else Python looks for garbage before it ends, for up to fifteen seconds on a busy machine
        log.info("stopped")

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if self._stop_until is None:
            self._stop_until = time.monotonic() + STOP_SECONDS

    def _start(self, surface: Surface) -> None:
        process = _fork.Process(target=_run_group, args=(surface,), name=f"maim-{surface.name}")
        _fork_off(process)
        self._groups[surface] = process

    def _start_in_background(self, name: str) -> None:
        process = _fork.Process(
            target=_run_in_background, args=(BACKGROUND[name],), name="maim-background", daemon=True
        )
        _fork_off(process)
        self._background[name] = process

    def _watch(self) -> None:
        is_ready = False
        swept = float("-inf")
        while self._stop_until is None:
            for surface, process in list(self._groups.items()):
                if not process.is_alive():
                    log.error("the %s surface ended with code %s, starting it again", surface.name, process.exitcode)
                    time.sleep(RESTART_PAUSE_SECONDS)
                    if self._stop_until is None:
                        self._start(surface)
            for name, process in list(self._background.items()):
                if not process.is_alive():
                    log.error("the %s ended with code %s, starting it again", name, process.exitcode)
                    time.sleep(RESTART_PAUSE_SECONDS)
                    if self._stop_until is None:
                        self._start_in_background(name)
            if self._wait is not None and self._wait.is_over():
                self._wait = None
            if not is_ready and self._wait is None and all(_answers(surface) for surface in self._surfaces):
                is_ready = True
                for name in BACKGROUND:
                    self._start_in_background(name)
                _log_ready()
            if is_ready and time.monotonic() - swept > SWEEP_EVERY_SECONDS:
                swept = time.monotonic()
                connections.close_all()
                _fork.Process(target=_sweep, name="maim-sweep", daemon=True).start()
            multiprocessing.active_children()  # joins a finished sweep
            time.sleep(POLL_SECONDS)

    def _end_processes(self) -> None:
        # From the signal on, because this process may have been asleep when it came.
        deadline = self._stop_until or time.monotonic() + STOP_SECONDS
        ending = [*self._groups.values(), *self._background.values()]
        for process in ending:
            process.terminate()
        for process in ending:
            process.join(max(0.0, deadline - time.monotonic()))
        for process in self._groups.values():
            _kill_group(process)
        for process in multiprocessing.active_children():  # the sweep, the background, the wait for the database
            process.kill()
            process.join()


def _fork_off(process: BaseProcess) -> None:
    """Start a process, which takes signals when it is ready for them."""
    connections.close_all()  # forked processes must not share a connection
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    process.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _kill_group(process: BaseProcess) -> None:
    """Kill what is left of a process group. Workers outlive their main process if that could not end them in time."""
    with suppress(ProcessLookupError):
        assert process.pid is not None
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # before it has made its group
    process.join()


def _run_group(surface: Surface) -> None:
    """Run a process group: a main process, which forks the workers."""
    os.setpgid(0, 0)
    group.run(surface, GRACE_SECONDS)


def _run_in_background(kind: type[BackgroundProcess]) -> None:
    gc.freeze()  # else looking for garbage would copy the memory that it shares with this process
    kind().run()


def _sweep() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    housekeeping.sweep()


def _answers(surface: Surface) -> bool:
    """Return whether a worker of the surface answers. The system accepts connections as soon as its group listens."""
    try:
        with socket.create_connection(_reachable(surface), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return bool(connection.recv(1))
    except OSError:
        return False


def _reachable(surface: Surface) -> tuple[str, int]:
    """Return an address of this machine at which the surface can be reached."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(surface.bind.host, surface.bind.host)  # noqa: S104  # compared, not bound
    return host, surface.bind.port


def _log_ready() -> None:
    public, internal = (
        f"http://{f'[{host}]' if ':' in host else host}:{port}" for host, port in map(_reachable, SURFACES)
    )
    public = settings.PUBLIC_URL or public.replace("127.0.0.1", "localhost")
    log.info("maim is ready. People: %s/docs (API), %s/admin/ (operators). Bots: %s/docs", public, public, internal)
