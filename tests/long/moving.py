"""The import of a large old deployment, which takes minutes and little memory."""

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
MAX_SECONDS = 300
MAX_MEBIBYTES = 300


def test_hundred_thousand_keys_are_imported_in_minutes() -> None:
    with tempfile.TemporaryDirectory() as directory:
        old = OldDatabase.in_file(Path(directory) / "old.sqlite3")
        fill(old, SIZE)
        maim = MaimServer(Path(directory), "moving")
        maim.migrate()

        for arguments in (("--apply",), ("--apply",), ("--verify",)):
            seconds, mebibytes = _run(maim, "import_maim_db", "--config-db", old.url, *arguments)
            print(f"\nimport_maim_db {arguments[0]}: {seconds:.0f} s, {mebibytes:.0f} MiB")
            assert seconds < MAX_SECONDS
            assert mebibytes < MAX_MEBIBYTES


def _run(maim: MaimServer, *arguments: str) -> tuple[float, float]:
    """Run a command, and return its seconds and its maximum of memory in MiB."""
    began = time.monotonic()
    pid = os.posix_spawn(sys.executable, [sys.executable, str(ROOT / "manage.py"), *arguments], maim.environment)
    _pid, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return time.monotonic() - began, usage.ru_maxrss / 1024  # Linux counts it in KiB
