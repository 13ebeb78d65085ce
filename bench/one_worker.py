"""The server of everything that maim is compared with: one worker of Granian on loopback."""

from __future__ import annotations

from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server


def serve(target: str, port: int, interface: Interfaces, threads: int = 1) -> None:
    """Serve the application that a factory makes, named as `module:function`, until the process is ended."""
    Server(
        target,
        factory=True,
        address="127.0.0.1",
        port=port,
        interface=interface,
        http=HTTPModes.http1,
        loop=Loops.uvloop,
        websockets=False,
        workers=1,
        blocking_threads=threads,
        log_level=LogLevels.error,
    ).serve()
