"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db import Error, connection
from redis.exceptions import RedisError

from maim.doctor import configuration, database, machine, mail, redis_server
from maim.doctor.findings import Finding, Level

Check = Callable[[], Iterator[Finding]]

_OF_CONFIGURATION: tuple[Check, ...] = (
    configuration.check_variables,
    configuration.check_settings,
    configuration.check_secrets,
    configuration.check_system,
)
# They need tables, and so do not run before the migrations.
_OF_TABLES: tuple[Check, ...] = (database.check_operators, database.check_audit_chain)
_OF_MACHINE: tuple[Check, ...] = (
    machine.check_disk,
    machine.check_ports,
    machine.check_internal_surface,
    machine.check_files,
)


def examine() -> Iterator[Finding]:
    """Run all checks, and yield what each finds. Nothing is changed, and nothing is raised for what does not answer."""
    for check in _OF_CONFIGURATION:
        yield from check()
    yield from _examine_database()
    yield from _guarded("Redis", redis_server.check_redis, "Start it, or correct REDIS_URL")
    yield from _guarded("mail", mail.check_mail, "Start the mail server, or correct MAIM_EMAIL_URL")
    for check in _OF_MACHINE:
        yield from _guarded(check.__name__.removeprefix("check_").replace("_", " "), check, "Correct the path or mode")


def _examine_database() -> Iterator[Finding]:
    advice = "Start it, or correct DATABASE_URL; the checks that need it did not run"
    findings = list(_guarded("database", database.check_database, advice))
    yield from findings
    if any(finding.advice == advice for finding in findings):
        return
    yield from _guarded("clock", database.check_clock, advice)
    migrations = list(_guarded("migrations", database.check_migrations, advice))
    yield from migrations
    if not any(finding.level == Level.PROBLEM for finding in migrations):
        for check in _OF_TABLES:
            yield from _guarded("database", check, advice)


def _guarded(name: str, check: Check, advice: str) -> Iterator[Finding]:
    """Run a check; what does not answer, or cannot be read, is a finding with this advice."""
    try:
        yield from check()
    except (Error, RedisError, OSError) as error:
        connection.close()
        yield Finding(name, Level.PROBLEM, f"It does not answer, or cannot be read: {error}", advice)
