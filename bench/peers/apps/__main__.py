"""Seeding and serving of a peer, whose servers are in DATABASE_URL and REDIS_URL.

python -m bench.peers.apps seed PEER FILE KEYS
python -m bench.peers.apps serve PEER PORT
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from bench import one_worker

# Of a WSGI application, so that one request may wait for the database while another is computed.
THREADS = 8


def seed(peer: str, file: str, keys: str) -> None:
    """Fill the peer's database with so many keys, and a file with `id secret` of each."""
    found = import_module(f"bench.peers.apps.{peer}").seed(int(keys))
    Path(file).write_text("\n".join(f"{key_id} {secret}" for key_id, secret in found))


def serve(peer: str, port: str) -> None:
    """Serve the peer on loopback in one worker, until it is ended."""
    interface = import_module(f"bench.peers.apps.{peer}").INTERFACE
    threads = THREADS if interface == "wsgi" else 1
    one_worker.serve(f"bench.peers.apps.{peer}:application", int(port), interface, threads)


if __name__ == "__main__":
    {"seed": seed, "serve": serve}[sys.argv[1]](*sys.argv[2:])
