"""Checks of the database: its version and settings, migrations, its clock, and the audit chain in it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core import checks
from django.core.checks import Tags
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from accounts.models import User
from core import approvals
from core.http.surfaces import SURFACES
from core.listing import CLOCK_SKEW
from core.models import AuditBlock, AuditEntry
from maim.doctor.configuration import of_message
from maim.doctor.findings import Finding, Level

_OLDEST = {"MariaDB": (10, 6), "MySQL": (8, 0), "SQLite": (3, 38)}
# Of each worker, beside those of its surface's threads: docs/operations.md#mysql-or-mariadb counts them.
_OTHER_CONNECTIONS = 39
_MIN_PACKET = 4 * 1024 * 1024
_VARIABLES = (
    "transaction_isolation",
    "tx_isolation",  # of MariaDB before 11.1
    "sql_mode",
    "max_connections",
    "max_allowed_packet",
    "innodb_flush_log_at_trx_commit",
    "log_bin",
    "sync_binlog",
)
# Entries are chained within a second of their commit.
_CHAINED_WITHIN = timedelta(minutes=1)


def check_database() -> Iterator[Finding]:
    """Look at the server: that it answers, its version, and its settings that matter."""
    name, version = _version()
    place = connection.settings_dict["HOST"] or connection.settings_dict["NAME"]
    oldest = _OLDEST[name]
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < oldest:
        yield Finding(
            "database",
            Level.PROBLEM,
            f"{name} {version} at {place} is too old",
            f"Upgrade it to {'.'.join(map(str, oldest))} or newer",
        )
    else:
        yield Finding("database", Level.OK, f"{name} {version} answers at {place}")
    for message in checks.run_checks(tags=[Tags.database], databases=[DEFAULT_DB_ALIAS]):
        yield of_message("database", message)
    if connection.vendor == "mysql":
        yield from _server_settings()


def _version() -> tuple[str, str]:
    if connection.vendor != "mysql":
        return "SQLite", sqlite3.sqlite_version
    with connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        version: str = cursor.fetchone()[0]
    return ("MariaDB" if "mariadb" in version.lower() else "MySQL"), version


def _server_settings() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        names = ", ".join(f"'{name}'" for name in _VARIABLES)
        cursor.execute(f"SHOW VARIABLES WHERE Variable_name IN ({names})")  # names of ours
        values: dict[str, str] = dict(cursor.fetchall())
    found = list(_odd_settings(values))
    yield from found or [Finding("database settings", Level.OK, "Those that matter are as they should be")]


def _odd_settings(values: Mapping[str, str]) -> Iterator[Finding]:
    isolation = values.get("transaction_isolation", values.get("tx_isolation", "")).upper()
    if isolation != "READ-COMMITTED" or "STRICT_ALL_TABLES" not in values["sql_mode"]:
        yield Finding(
            "database settings",
            Level.PROBLEM,
            f"maim's sessions have the isolation {isolation} and the sql_mode {values['sql_mode'] or 'none'}",
            "maim sets both in each session; have the proxy to the database leave them alone",
        )
    needed = settings.ENV.MAIM_WORKERS * (sum(surface.threads for surface in SURFACES) + _OTHER_CONNECTIONS)
    if int(values["max_connections"]) < needed:
        yield Finding(
            "database settings",
            Level.WARNING,
            f"max_connections is {values['max_connections']}, and maim on this machine may need {needed}",
            "Raise it, with room for every other machine and for yourself",
        )
    if int(values["max_allowed_packet"]) < _MIN_PACKET:
        yield Finding(
            "database settings",
            Level.WARNING,
            f"max_allowed_packet is {values['max_allowed_packet']}: large configs and imports may fail",
            f"Raise it to {_MIN_PACKET} or more",
        )
    flush = values["innodb_flush_log_at_trx_commit"]
    if flush != "1":
        yield Finding(
            "database settings",
            Level.WARNING,
            f"innodb_flush_log_at_trx_commit is {flush}: after a crash a key that was disabled a moment before is good",
            "Set it to 1",
        )
    if values.get("log_bin") == "ON" and values.get("sync_binlog") != "1":
        yield Finding(
            "database settings",
            Level.WARNING,
            f"sync_binlog is {values.get('sync_binlog')}: after a crash replicas may lack the last changes",
            "Set it to 1",
        )


def check_clock() -> Iterator[Finding]:
    """Compare this machine's clock with the database server's."""
    if connection.vendor != "mysql":
        yield Finding("clock", Level.OK, "The database is on this machine")
        return
    with connection.cursor() as cursor:
        before = timezone.now()
        cursor.execute("SELECT UTC_TIMESTAMP(6)")
        theirs: datetime = cursor.fetchone()[0].replace(tzinfo=UTC)
        after = timezone.now()
    # What is between sending and receiving is no difference of clocks.
    ahead, behind = theirs - after, before - theirs
    difference = max(ahead, behind, timedelta(0))
    text = f"The clocks of this machine and the database differ by {difference.total_seconds():.1f} seconds"
    if difference < timedelta(seconds=1):
        yield Finding("clock", Level.OK, "It agrees with the database's to the second")
    else:
        level = Level.PROBLEM if difference >= CLOCK_SKEW else Level.WARNING
        yield Finding("clock", level, text, "Let both machines get their time by NTP")


def check_migrations() -> Iterator[Finding]:
    """Compare the migrations of the database with those of this version. Look at the switch that an upgrade leaves."""
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    ours = {app for app, _name in executor.loader.disk_migrations}
    newer = [key for key in executor.loader.applied_migrations if key[0] in ours and _is_unknown(executor, key)]
    if missing:
        yield Finding(
            "migrations", Level.PROBLEM, f"{len(missing)} are not applied", "Run: manage.py migrate (serve needs them)"
        )
        return
    if newer:
        names = ", ".join(".".join(key) for key in sorted(newer)[:5])
        yield Finding(
            "migrations",
            Level.WARNING,
            f"The database has migrations that this version does not know: {names}",
            "Run the newer version that applied them, or migrate backwards with it first",
        )
    else:
        yield Finding("migrations", Level.OK, "All are applied")
    if not approvals.are_used():
        yield Finding(
            "approvals",
            Level.WARNING,
            "Changes wait a full lease, because an older version may still run",
            "If none does, run: manage.py approvals on",
        )


def _is_unknown(executor: MigrationExecutor, key: tuple[str, str]) -> bool:
    replaced = {old for migration in executor.loader.replacements.values() for old in migration.replaces}
    return key not in executor.loader.disk_migrations and key not in replaced


def check_operators() -> Iterator[Finding]:
    """Look for somebody who may change everything in the admin."""
    number = User.objects.filter(is_superuser=True, is_active=True).count()
    if number:
        yield Finding("operators", Level.OK, f"{number} may change everything in the admin")
    else:
        yield Finding(
            "operators", Level.WARNING, "Nobody may change everything in the admin", "Run: manage.py createsuperuser"
        )


def check_audit_chain() -> Iterator[Finding]:
    """Tell when the last block of the audit chain was made, and whether entries have been waiting for one."""
    block = AuditBlock.objects.order_by("-number").first()
    reach = 0 if block is None else block.reach
    waiting = AuditEntry.objects.filter(pk__gt=reach).order_by("pk").first()
    last = "No block was made yet" if block is None else f"Block {block.number} was made at {_time(block.made_at)}"
    if waiting is not None and waiting.at < timezone.now() - _CHAINED_WITHIN:
        yield Finding(
            "audit chain",
            Level.WARNING,
            f"{last}, and entries since {_time(waiting.at)} are in none",
            "Start serve, one process of which chains them; if it runs, its log (maim.audit) says why it does not",
        )
    else:
        yield Finding("audit chain", Level.OK, f"{last}; nothing waits")


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
