"""A large old deployment is brought over in minutes, and in little memory."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

from legacy.tests.large import Size, fill
from legacy.tests.old_databases import OldDatabase
from tests.support.server import ROOT, MaimServer

pytestmark = pytest.mark.single

SIZE = Size(users=10_000, agents_each=2, keys_each=5)
MOST_SECONDS = 300
MOST_MEBIBYTES = 300


def test_a_hundred_thousand_keys_are_brought_over() -> None:
    with tempfile.TemporaryDirectory() as directory:
        old = OldDatabase.in_file(Path(directory) / "old.sqlite3")
        fill(old, SIZE)
        maim = MaimServer(Path(directory), "moving")
        maim.migrate()

        for arguments in (("--apply",), ("--apply",), ("--verify",)):
            seconds, mebibytes = _run(maim, "import_maim_db", "--config-db", old.url, *arguments)
            print(f"\nimport_maim_db {arguments[0]}: {seconds:.0f} s, {mebibytes:.0f} MiB")
            assert seconds < MOST_SECONDS
            assert mebibytes < MOST_MEBIBYTES


def _run(maim: MaimServer, *arguments: str) -> tuple[float, float]:
    """How many seconds a command took, and how much memory it had at most."""
    began = time.monotonic()
    pid = os.posix_spawn(sys.executable, [sys.executable, str(ROOT / "manage.py"), *arguments], maim.environment)
    _pid, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return time.monotonic() - began, usage.ru_maxrss / 1024  # which Linux tells in KiB
