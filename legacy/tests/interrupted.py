"""Imports that are killed, or that run at the same time, in processes of their own."""

from __future__ import annotations

import random
import secrets
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from legacy.tests.large import Size, fill
from legacy.tests.old_databases import OldDatabase, connect
from tests.support.instances import WAIT, wait_until
from tests.support.server import ROOT, MaimServer

SIZE = Size(users=100, agents_each=2, keys_each=3)
OBJECTS = SIZE.users * (2 + SIZE.agents_each * (1 + SIZE.keys_each))
# The columns that an import writes, without times, and without sealed secrets, which differ each time.
COMPARED_COLUMNS = {
    "accounts_user": "id, username, username_folded, email, password, is_active, created_at",
    "tenants_tenant": "id, tenant_name, name_folded, owner_id, owner_scope, status, created_at",
    "tenants_membership": "tenant_id, user_id, role",
    "agents_agent": "id, tenant_id, name, name_folded, config_version, status, created_at",
    "agents_configversion": "agent_id, number",
    "apikeys_apikey": "id, tenant_id, agent_id, name, name_folded, permissions, status, usage_count, created_at",
    "apikeys_keysecret": "key_id, digest, hint, secret_version",
    "legacy_imported": "kind, object_id, tenant_id, fingerprint, secret",
    "common_auditentry": "action, object_id, tenant_id",
}


class Target:
    """A maim that is imported into."""

    def __init__(self, directory: Path, name: str) -> None:
        self._maim = MaimServer(directory, name)
        self._maim.migrate()

    def importing(self, old: OldDatabase, stderr: int | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "import_maim_db", "--config-db", old.url, "--apply"]
        environment = self._maim.environment
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)

    def verify(self, old: OldDatabase) -> None:
        """Run --verify. Raise CalledProcessError if anything differs."""
        self._maim.manage("import_maim_db", "--config-db", old.url, "--verify")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(connect(self._maim.environment["DATABASE_URL"])) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return sorted(tuple(row) for row in cursor.fetchall())

    def imported(self) -> int:
        number: int = self.rows("SELECT count(*) FROM legacy_imported")[0][0]
        return number

    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        return {table: self.rows(f"SELECT {columns} FROM {table}") for table, columns in COMPARED_COLUMNS.items()}


def kill_at_random(number: int, directory: Path) -> None:
    """Kill an import several times, then let it end.

    Check that every tenant is complete each time, and the result at last.
    """
    old = OldDatabase.in_file(directory / "old.sqlite3")
    fill(old, SIZE)
    undisturbed, killed = Target(directory, "undisturbed"), Target(directory, "killed")
    assert undisturbed.importing(old).wait(300) == 0
    chance = random.Random(seed := secrets.randbits(32))
    moments = sorted(chance.randrange(OBJECTS) for _kill in range(number))

    for moment in moments:
        process = killed.importing(old)
        wait_until(partial(_is_due, process, killed, moment), f"{moment} objects are there (seed {seed})", 120)
        process.kill()
        process.wait(WAIT)
        whole = killed.rows("SELECT tenant_id, count(*) FROM apikeys_apikey GROUP BY tenant_id")
        assert {number for _tenant, number in whole} <= {SIZE.agents_each * SIZE.keys_each}, f"seed {seed}"
        assert len(whole) == killed.rows("SELECT count(*) FROM tenants_tenant")[0][0], f"seed {seed}"
    assert killed.importing(old).wait(300) == 0

    assert killed.state() == undisturbed.state(), f"seed {seed}"
    killed.verify(old)


def run_at_once(number: int, directory: Path) -> None:
    """Start several imports at the same moment.

    Check that one does everything and the others are refused in one sentence.
    """
    old = OldDatabase.in_file(directory / "old.sqlite3")
    fill(old, SIZE)
    target = Target(directory, "at_once")

    processes = [target.importing(old, subprocess.PIPE) for _process in range(number)]
    refusals = [process.communicate(timeout=300)[1].decode() for process in processes]
    refusals = [refusal for refusal, process in zip(refusals, processes, strict=True) if process.returncode]

    assert len(refusals) == number - 1
    for refusal in refusals:
        assert refusal.startswith("CommandError: Another process is at it: ")
        assert refusal.count("\n") == 1
    target.verify(old)


def _is_due(process: subprocess.Popen[bytes], target: Target, moment: int) -> bool:
    """Return whether the process has imported enough to be killed, or has ended before."""
    return target.imported() > moment or process.poll() is not None
