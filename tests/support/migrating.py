"""Several `manage.py migrate` at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from tests.support.instances import WAIT
from tests.support.server import ROOT, MaimServer

_LIST = """
import json
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT app, name FROM django_migrations")
    print(json.dumps(cursor.fetchall()))
"""


class Ended(NamedTuple):
    """The exit code of a command, and its standard error."""

    status: int
    said: str


def migrate_together(servers: Sequence[MaimServer]) -> list[Ended]:
    """Start `migrate` for each of these servers at the same time, and wait for all."""
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=maim.environment, stderr=subprocess.PIPE, text=True) for maim in servers
    ]
    said = [process.communicate(timeout=WAIT)[1] for process in started]
    return [Ended(process.returncode, text) for process, text in zip(started, said, strict=True)]


def recorded_migrations(maim: MaimServer) -> list[tuple[str, str]]:
    """Return the app and name of every migration that the database is said to have, repeated if it is there twice."""
    rows = json.loads(maim.manage("shell", "--no-imports", "-c", _LIST))
    return [(app, name) for app, name in rows]
