"""`manage.py` and `make run` as an operator meets them at a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ROOT, MaimServer

pytestmark = [pytest.mark.embedded, pytest.mark.heavy]


def manage(*arguments: str, **variables: str) -> str:
    """Run a command, which must succeed, and return what it printed."""
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, check=True)
    return done.stdout.decode()


def test_help_begins_with_maims_own_commands() -> None:
    first, of_django = manage("help").split("The commands of Django:")

    ours = [line.split()[0] for line in first.splitlines() if line.startswith("  ") and line[2] != " "]
    assert {"serve", "keys", "agents", "createsuperuser", "import_maim_db", "sweep", "migrate"} <= set(ours)
    assert not set(ours).intersection(of_django.replace(",", " ").split())


def test_help_on_commands_alone_is_a_plain_list() -> None:
    assert {"serve", "check"} <= set(manage("help", "--commands").split())


def test_character_that_the_terminal_cannot_show_is_escaped() -> None:
    printed = manage("shell", "--no-imports", "--command", "print('小明')", PYTHONIOENCODING="ascii:strict")

    assert printed.splitlines()[-1] == r"\u5c0f\u660e"


def status_of(script: str, *arguments: str) -> tuple[int, str]:
    """Return the exit status of a command whose streams a script of the shell redirects, and what it complains of."""
    command = ["sh", "-c", script, "sh", sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", ["help", "doctor"])
def test_reader_that_has_enough_ends_the_command_quietly(command: str) -> None:
    """The command may end before its reader does, so its output goes to a pipe that nobody reads from."""
    reading, writing = os.pipe()
    os.close(reading)

    with os.fdopen(writing, "w") as pipe:
        arguments = [sys.executable, "manage.py", command]
        done = subprocess.run(arguments, cwd=ROOT, stdout=pipe, stderr=subprocess.PIPE, check=False)

    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.fixture
def _interrupts() -> Iterator[None]:
    """Interrupts, which programs ignore that a shell has started in the background, and those that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interrupts")
def test_ctrl_c_ends_the_command_without_a_traceback() -> None:
    waiting = "import os, time; print('waits', flush=True); time.sleep(60)"
    command = [sys.executable, "manage.py", "shell", "--no-imports", "--command", waiting]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waits\n"
        process.send_signal(signal.SIGINT)
        _out, errors = process.communicate()

    assert (process.returncode, errors) == (128 + signal.SIGINT, b"\nInterrupted\n")


def test_streams_may_be_closed() -> None:
    """A supervisor may start commands without standard streams."""
    assert status_of('"$@" >&-', "help") == (0, "")
    status, errors = status_of('"$@" <&-', "apply", "--check", "-f", "-")
    assert (status, errors) == (1, "CommandError: standard input: must be a mapping with the list tenants\n")


def test_argument_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """A terminal with another encoding sends Chinese names as such bytes."""
    server = MaimServer(tmp_path, "command_line")
    server.migrate()

    command: list[str | bytes] = [sys.executable, "manage.py", "tenants", "show", "租户".encode("gbk")]
    done = subprocess.run(command, cwd=ROOT, env=server.environment, capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (2, b"An argument of the command line is not UTF-8\n")


@pytest.mark.parametrize(
    ("url", "requirements", "database"),
    [
        (None, "requirements-embedded.txt", "sqlite"),
        ("sqlite:////srv/maim.sqlite3", "requirements-embedded.txt", "sqlite"),
        ("mysql://user:password@host/name", "requirements.txt", "mysql"),
    ],
)
@pytest.mark.parametrize("is_file", [False, True])
def test_make_run_installs_what_the_database_needs(
    tmp_path: Path, url: str | None, requirements: str, database: str, is_file: bool
) -> None:
    file = tmp_path / "url"
    file.write_text(f"{url or ''}\n")
    names = ("DATABASE_URL", "DATABASE_URL_FILE", "MAIM_DATA_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    given = {} if url is None else {"DATABASE_URL_FILE": str(file)} if is_file else {"DATABASE_URL": url}

    command = ["make", "--dry-run", "--always-make", "run"]
    done = subprocess.run(command, cwd=ROOT, env={**environment, **given}, capture_output=True, text=True, check=True)

    assert f"-r {requirements}\n" in done.stdout
    assert f'"Migrating the database: {database}"' in done.stdout
    assert "password" not in done.stdout
