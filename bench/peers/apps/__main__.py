"""Seeding and serving of a peer, whose servers are in DATABASE_URL and REDIS_URL.

python -m bench.peers.apps seed PEER FILE KEYS
python -m bench.peers.apps serve PEER PORT
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from granian.constants import HTTPModes, Loops
from granian.log import LogLevels
from granian.server import Server

# Of a WSGI application, so that one request may wait for the database while another is computed.
THREADS = 8


def seed(peer: str, file: str, keys: str) -> None:
    """Fill the peer's database with so many keys, and a file with `id secret` of each."""
    found = import_module(f"bench.peers.apps.{peer}").seed(int(keys))
    Path(file).write_text("\n".join(f"{key_id} {secret}" for key_id, secret in found))


def serve(peer: str, port: str) -> None:
    """Serve the peer on loopback in one worker, until it is ended."""
    interface = import_module(f"bench.peers.apps.{peer}").INTERFACE
    Server(
        f"bench.peers.apps.{peer}:application",
        factory=True,
        address="127.0.0.1",
        port=int(port),
        interface=interface,
        http=HTTPModes.http1,
        loop=Loops.uvloop,
        websockets=False,
        workers=1,
        blocking_threads=THREADS if interface == "wsgi" else 1,
        log_level=LogLevels.error,
    ).serve()


if __name__ == "__main__":
    {"seed": seed, "serve": serve}[sys.argv[1]](*sys.argv[2:])
