"""The files of an embedded database, which only their owner can read, whatever the umask."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT

pytestmark = pytest.mark.embedded

WRITE_AND_LIST = """
import os
os.umask(0o022)
import maim.wsgi
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE thing (id INTEGER)")
    directory = os.path.dirname(connection.settings_dict["NAME"])
    for name in sorted(os.listdir(directory)):
        print(name, oct(os.stat(os.path.join(directory, name)).st_mode & 0o777))
"""


def listed(environment: dict[str, str]) -> dict[str, str]:
    """Return the modes of the files beside a database into which a process has just written."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAIM_", "DATABASE_", "REDIS_"))}
    found = subprocess.run(
        [sys.executable, "-c", WRITE_AND_LIST], cwd=ROOT, env={**ours, **environment}, capture_output=True, check=True
    )
    return dict(line.split() for line in found.stdout.decode().splitlines())


def test_everything_in_the_data_directory_is_private(tmp_path: Path) -> None:
    data = tmp_path / "var"

    modes = listed({"MAIM_DATA_DIR": str(data)})

    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    databases = {"maim.sqlite3", "maim.sqlite3-shm", "maim.sqlite3-wal"}
    assert modes == dict.fromkeys(databases | {"secret_key", "key_secrets", "encryption_keys"}, "0o600")


def test_existing_database_keeps_its_mode(tmp_path: Path) -> None:
    """A group may be meant to read it."""
    path = tmp_path / "maim.sqlite3"
    path.touch()
    path.chmod(0o640)

    modes = listed({"MAIM_DATA_DIR": str(tmp_path)})

    assert modes["maim.sqlite3"] == modes["maim.sqlite3-wal"] == "0o640"
