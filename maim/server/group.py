"""The process group of a surface: a main process that forks the workers, and replaces those that end."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import time
from multiprocessing.process import BaseProcess

import uvloop
from django.conf import settings

from core.http.surfaces import Surface
from maim.server import worker
from maim.server.acceptor import BACKLOG
from maim.server.connections import worker_limit
from maim.server.http1 import HttpServer
from maim.server.shedding.handle import ShedderHandle
from maim.server.worker import STOP_SIGNALS

log = logging.getLogger("maim.server")

# A worker that ends sooner after its start is not replaced before.
MIN_SECONDS = 1.0

_fork = multiprocessing.get_context("fork")


def run(surface: Surface, grace_seconds: float) -> None:
    """Run the workers until SIGTERM or SIGINT, or until the parent is gone. Kill those that take longer to end."""
    watched = {*STOP_SIGNALS, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    parent = multiprocessing.parent_process()
    assert parent is not None
    listener = _listen(surface)
    workers = [_start(surface, listener) for _ in range(settings.ENV.MAIM_WORKERS)]
    started = [time.monotonic()] * len(workers)
    while os.getppid() == parent.pid:
        info = signal.sigtimedwait(watched, 1)
        if info is not None and info.si_signo in STOP_SIGNALS:
            break
        for number, each in enumerate(workers):
            if not each.is_alive() and time.monotonic() >= started[number] + MIN_SECONDS:
                log.error("worker of the %s surface ended with code %s, starting another", surface.name, each.exitcode)
                workers[number], started[number] = _start(surface, listener), time.monotonic()
    listener.close()
    _end(workers, time.monotonic() + grace_seconds)


def _listen(surface: Surface) -> socket.socket:
    """Return a socket on the surface's address. `::` is every address, those of IPv4 included."""
    host = surface.bind.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    is_dual = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(surface.bind, family=family, backlog=BACKLOG, dualstack_ipv6=is_dual)


def _start(surface: Surface, listener: socket.socket) -> BaseProcess:
    process = _fork.Process(target=_run_worker, args=(surface, listener), name=f"maim-{surface.name}-worker")
    process.start()
    return process


def _end(workers: list[BaseProcess], deadline: float) -> None:
    for each in workers:
        each.terminate()
    for each in workers:
        each.join(max(0.0, deadline - time.monotonic()))
        each.kill()
        each.join()


def _run_worker(surface: Surface, listener: socket.socket) -> None:
    """Serve in this process until SIGTERM or SIGINT."""
    shedder = ShedderHandle(surface, listener)  # forked, so before any thread
    try:
        _serve(surface, listener, shedder)
    finally:
        shedder.close()  # also after a fault, because this process ends after it


def _serve(surface: Surface, listener: socket.socket, shedder: ShedderHandle) -> None:
    application = worker.prepare(surface)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    application.start(loop)
    server = HttpServer(
        application,
        shedder,
        port=surface.bind.port,
        timeout=settings.REQUEST_TIMEOUT_SECONDS,
        max_body_bytes=settings.MAX_BODY_BYTES,
        max_connections=worker_limit(),
    )
    loop.run_until_complete(_serve_until_stopped(server, listener))
    application.stop()


async def _serve_until_stopped(server: HttpServer, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, which may have come before."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for signum in STOP_SIGNALS:
        loop.add_signal_handler(signum, stopping.set)
    # Not before, because uvloop loses a signal that is taken before the loop runs.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*STOP_SIGNALS, signal.SIGCHLD})
    await server.serve(listener, stopping)
