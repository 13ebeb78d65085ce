"""`manage.py` and `make run` as an operator meets them at a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT

pytestmark = pytest.mark.embedded


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
