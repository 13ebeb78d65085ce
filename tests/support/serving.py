"""The processes and ports of a real server."""

from __future__ import annotations

import socket

import psutil

from tests.support import processes
from tests.support.server import MaimServer


def process_tree(maim: MaimServer) -> list[psutil.Process]:
    """Return the supervisor and all its descendants."""
    supervisor = psutil.Process(maim.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process has ended. Without an init process that reaps orphans, it stays a zombie."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start_error(maim: MaimServer, *command: str, status: int = 1, **environment: str) -> str:
    """Run a command that must not start, and return its error, which is one line without a traceback."""
    completed = processes.run(["manage.py", *command], {**maim.environment, **environment})
    assert completed.returncode == status
    assert "Traceback" not in completed.stderr
    return completed.stderr.strip()
