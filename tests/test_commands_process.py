"""Commands as an operator meets them at a terminal and in a pipe: in processes of their own."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from tests.support.instances import WAIT
from tests.support.server import ROOT, MaimServer

pytestmark = pytest.mark.heavy

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def at_a_terminal(maim: MaimServer, *arguments: str, typed: str = "") -> tuple[int, str]:
    """Run a command at a terminal, and return its exit status and what the terminal showed."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env={**maim.environment, "TERM": "xterm-256color", "COLUMNS": "120"},
        stdin=follower, stdout=follower, stderr=follower,
    )  # fmt: skip
    os.close(follower)
    os.write(leader, typed.encode())
    shown = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the last process has closed the terminal
            break
        if not part:
            break
        shown += part
    os.close(leader)
    return process.wait(WAIT), shown.decode()


def test_operator_makes_lists_and_deletes_a_tenant_at_a_terminal(server: MaimServer) -> None:
    assert at_a_terminal(server, "tenants", "create", "Initech")[0] == 0

    status, shown = at_a_terminal(server, "tenants", "list", "--name", "initech")
    assert status == 0
    assert "\x1b[32mactive" in shown
    assert "Initech" in _STYLE.sub("", shown)

    assert at_a_terminal(server, "tenants", "delete", "Initech", typed="n\n")[0] == 1
    status, shown = at_a_terminal(server, "tenants", "delete", "Initech", typed="y\n")
    assert (status, "[y/N]" in shown, "deleted tenant_" in shown) == (0, True, True)


def test_what_takes_long_shows_a_progress_bar(server: MaimServer) -> None:
    status, shown = at_a_terminal(server, "audit", "verify")

    assert status == 0
    assert re.search(r"(\d+)/\1 entries", _STYLE.sub("", shown))


def test_in_a_pipe_nothing_is_asked_and_nothing_has_colours(server: MaimServer) -> None:
    server.manage("tenants", "create", "Globex")

    ended = subprocess.run(
        [sys.executable, "manage.py", "tenants", "delete", "Globex"],
        cwd=ROOT, env=server.environment, input="y\n", capture_output=True, text=True, timeout=WAIT, check=False,
    )  # fmt: skip

    assert (ended.returncode, ended.stdout, "--yes" in ended.stderr) == (1, "", True)
    assert "\x1b" not in server.manage("tenants", "list") + ended.stderr


_RUN = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
import manage
manage.main()
"""


def imported_by(maim: MaimServer, *arguments: str) -> set[str]:
    """Return the names of the modules that a command imports."""
    ended = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        cwd=ROOT, env=maim.environment, capture_output=True, text=True, timeout=WAIT, check=True,
    )  # fmt: skip
    return set(ended.stderr.split())


def test_command_of_a_script_imports_neither_views_nor_rich(server: MaimServer) -> None:
    imported = imported_by(server, "keys", "list")

    assert "apikeys.models" in imported
    assert imported.isdisjoint({"maim.urls_public", "apikeys.views", "rich", "rich.console"})


def test_views_import_neither_the_test_client_nor_the_generator_of_documents(server: MaimServer) -> None:
    imported = imported_by(server, "check")

    assert "maim.urls_public" in imported
    assert imported.isdisjoint({"django.test", "drf_spectacular.generators", "jinja2"})
