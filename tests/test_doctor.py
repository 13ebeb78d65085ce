"""`manage.py doctor`: what it finds, and what it says to do (docs/commands.md)."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.db import OperationalError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from core import approvals, audit
from core.audit_chain.chainer import Chainer
from core.http.surfaces import INTERNAL, PUBLIC, SURFACES, Surface
from core.models import AuditEntry
from core.setting_types import Bind
from internal_api.fastpath import HANDLERS
from internal_api.fastpath.batches import THREADS
from internal_api.fastpath.keys import ParseKeyHandler
from maim.doctor import configuration, database, examination, machine, redis_server
from maim.doctor import mail as mail_checks
from maim.doctor.findings import Finding, Level, exit_code
from tests.support.commands import run
from tests.support.instances import WAIT, free_port
from tests.support.mail import Mailbox
from tests.support.operators import Operator
from tests.support.people import OPERATOR
from tests.support.server import ROOT, MaimServer

Disk = namedtuple("Disk", "free")


def found(check: Callable[[], Iterator[Finding]]) -> list[tuple[str, str]]:
    """Return the level and the sentence of what a check finds."""
    return [(finding.level.name, finding.found) for finding in check()]


def levels(check: Callable[[], Iterator[Finding]]) -> list[Level]:
    return [finding.level for finding in check()]


@pytest.mark.embedded
class TestConfiguration:
    def test_unknown_variable_is_named_with_the_nearest_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAIM_WORKRES", "2")

        assert ("WARNING", "MAIM_WORKRES is not a setting; did you mean MAIM_WORKERS?") in found(
            configuration.check_variables
        )

    def test_settings_that_do_not_go_together(self, settings: Any) -> None:
        settings.AUTH_RATE = (10, 60)
        settings.BEHIND_TLS, settings.TRUSTED_PROXIES, settings.PUBLIC_URL = False, [], None
        assert levels(configuration.check_settings) == [Level.OK]

        settings.BEHIND_TLS, settings.PUBLIC_URL, settings.AUTH_RATE = True, "https://maim.example.com", None

        sentences = " ".join(sentence for _level, sentence in found(configuration.check_settings))
        assert all(name in sentences for name in ("MAIM_TRUSTED_PROXIES", "MAIM_AUTH_RATE", "MAIM_EMAIL_URL"))

    def test_weak_and_repeated_secrets_are_named_and_not_shown(self, settings: Any) -> None:
        settings.SECRET_KEY = settings.KEY_PEPPERS[1] = "abcd" * 20

        problems = list(configuration.check_secrets())

        assert [problem.level.name for problem in problems] == ["PROBLEM", "PROBLEM", "WARNING"]
        assert "abcd" not in str(problems)
        assert "pepper 1 of MAIM_KEY_PEPPERS has the same value as MAIM_SECRET_KEY" in problems[2].found

    def test_system_checks_are_findings(self, settings: Any) -> None:
        settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = False

        (finding,) = [each for each in configuration.check_system() if "maim.W004" in each.found]
        assert "MAIM_PUBLIC_URL" in finding.advice


@pytest.mark.django_db
class TestDatabase:
    def test_database_as_it_should_be(self) -> None:
        first, *others = levels(database.check_database)
        assert first == Level.OK
        assert Level.PROBLEM not in others, "the tests' own server keeps less safe than it should, to be quick"
        assert levels(database.check_clock) == [Level.OK]
        assert levels(database.check_migrations)[:1] == [Level.OK]

    @pytest.mark.embedded
    def test_settings_that_lose_changes_are_warned_of(self, settings: Any) -> None:
        good = {
            "tx_isolation": "READ-COMMITTED",
            "sql_mode": "STRICT_ALL_TABLES",
            "max_connections": "1000",
            "max_allowed_packet": "16777216",
            "innodb_flush_log_at_trx_commit": "1",
            "log_bin": "ON",
            "sync_binlog": "1",
        }
        assert list(database._odd_settings(good)) == []

        for name, value in {
            "tx_isolation": "REPEATABLE-READ",
            "sql_mode": "",
            "max_connections": "82",
            "max_allowed_packet": "1024",
            "innodb_flush_log_at_trx_commit": "2",
            "sync_binlog": "0",
        }.items():
            (finding,) = database._odd_settings({**good, name: value})
            assert value in finding.found or "none" in finding.found
            assert finding.advice

    @pytest.mark.embedded
    def test_connections_of_a_worker_are_as_documented(self) -> None:
        needs_database = set(HANDLERS) - {ParseKeyHandler}
        documented = re.search(r"keeps a connection: up to (\d+) for each", (ROOT / "docs/operations.md").read_text())

        assert documented is not None
        assert int(documented[1]) == sum(each.threads for each in SURFACES) + database._OTHER_CONNECTIONS
        assert len(needs_database) * THREADS + 7 == database._OTHER_CONNECTIONS, "the epoch two, uses, two each surface"

    @pytest.mark.needs_mariadb
    @pytest.mark.parametrize(("ahead", "level"), [(-3, Level.WARNING), (3, Level.WARNING), (90, Level.PROBLEM)])
    def test_clock_that_differs(self, ahead: int, level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(timezone, "now", lambda now=timezone.now: now() + timedelta(seconds=ahead))

        (finding,) = database.check_clock()

        assert finding.level == level
        assert f"{abs(ahead)}." in finding.found or f"{abs(ahead) - 1}.9" in finding.found

    @pytest.mark.embedded
    def test_old_server_is_a_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for version, level in (("3.37.2", Level.PROBLEM), ("3.38.0", Level.OK)):
            monkeypatch.setattr(database, "_version", lambda version=version: ("SQLite", version))
            assert next(database.check_database()).level == level

    @pytest.mark.embedded
    def test_approvals_that_an_upgrade_left_off_are_warned_of(self) -> None:
        approvals.use(True)
        assert levels(database.check_migrations) == [Level.OK]

        approvals.use(False)

        *_, finding = database.check_migrations()
        assert (finding.level, "approvals on" in finding.advice) == (Level.WARNING, True)

    @pytest.mark.embedded
    def test_installation_without_an_operator(self, db: None) -> None:
        assert levels(database.check_operators) == [Level.WARNING]

    @pytest.mark.embedded
    def test_installation_with_an_operator(self, olivia: Operator) -> None:
        assert levels(database.check_operators) == [Level.OK]

    @pytest.mark.embedded
    def test_entries_that_nobody_chains_are_warned_of(self) -> None:
        with transaction.atomic():
            audit.record(actor=OPERATOR, action="agent.update", object_id="agent_1", tenant_id=None)
        assert levels(database.check_audit_chain) == [Level.OK], "it was written a moment ago"
        QuerySet(AuditEntry).update(at=timezone.now() - timedelta(minutes=5))
        assert levels(database.check_audit_chain) == [Level.WARNING]

        Chainer().chain_all()

        ((level, sentence),) = found(database.check_audit_chain)
        assert (level, sentence.startswith("Block 1 was made at ")) == ("OK", True)


class TestRedis:
    @pytest.mark.embedded
    def test_without_redis_nothing_is_wrong(self, settings: Any) -> None:
        settings.REDIS_URL = None

        assert levels(redis_server.check_redis) == [Level.OK]

    @pytest.mark.needs_redis
    def test_redis_answers_with_its_version(self) -> None:
        assert all(level < Level.PROBLEM for level in levels(redis_server.check_redis))

    @pytest.mark.embedded
    @pytest.mark.parametrize(
        ("info", "level"),
        [
            ({}, None),
            ({"maxmemory_policy": "allkeys-lru"}, Level.WARNING),
            ({"role": "slave"}, Level.PROBLEM),
            ({"maxmemory": 100, "used_memory": 95}, Level.WARNING),
        ],
    )
    def test_settings_on_which_limits_depend(self, info: dict[str, Any], level: Level | None) -> None:
        odd = list(redis_server._odd_settings({"role": "master", "maxmemory_policy": "noeviction", **info}))

        assert [finding.level for finding in odd] == ([] if level is None else [level])

    @pytest.mark.embedded
    def test_redis_that_does_not_answer_is_a_problem(self) -> None:
        port = free_port()
        script = "from maim.doctor import examination, redis_server\n"
        script += "print(list(examination._guarded('Redis', redis_server.check_redis, 'Start it')))"
        environment = {**os.environ, "REDIS_URL": f"redis://:hunter2@127.0.0.1:{port}/0"}
        shown = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", script],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=WAIT,
        ).stdout  # fmt: skip

        assert "PROBLEM" in shown
        assert "hunter2" not in shown


@pytest.mark.embedded
class TestMachine:
    @pytest.mark.parametrize(("mebibytes", "level"), [(2000, Level.OK), (500, Level.WARNING), (50, Level.PROBLEM)])
    def test_disk_space(self, mebibytes: int, level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _place: Disk(mebibytes * 1024 * 1024))

        assert set(levels(machine.check_disk)) == {level}

    def test_port_that_is_free(self, monkeypatch: pytest.MonkeyPatch) -> None:
        (finding,) = check_port(monkeypatch, free_port())

        assert (finding.level, "is free" in finding.found) == (Level.OK, True)

    def test_port_of_another_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            monkeypatch.setattr(machine, "_PROBE_SECONDS", 0.05)
            (finding,) = check_port(monkeypatch, other.getsockname()[1])

        assert finding.level == Level.PROBLEM
        assert "MAIM_PUBLIC_BIND" in finding.advice

    @pytest.mark.parametrize(
        ("host", "own", "level"),
        [
            ("127.0.0.1", [], Level.OK),
            ("10.0.0.5", [], Level.OK),
            ("8.8.8.8", [], Level.PROBLEM),
            ("0.0.0.0", ["10.0.0.5"], Level.WARNING),
            ("::", ["10.0.0.5", "2a00:1450::1"], Level.PROBLEM),
        ],
    )
    def test_internal_surface_that_others_may_reach(
        self, host: str, own: list[str], level: Level, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine, "INTERNAL", surface(INTERNAL, Bind(host, 8000)))
        monkeypatch.setattr(machine, "_own_addresses", lambda: iter(own))

        assert levels(machine.check_internal_surface) == [level]

    def test_files_that_others_may_open(self, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        secret, given = tmp_path / "secret_key", tmp_path / "given"
        for path in (secret, given):
            path.write_text("secret")
            path.chmod(0o600)
        tmp_path.chmod(0o700)
        monkeypatch.setattr(machine, "_private_files", lambda: iter([tmp_path, secret]))
        monkeypatch.setenv("MAIM_SECRET_KEY_FILE", str(given))
        assert levels(machine.check_files) == [Level.OK]

        secret.chmod(0o640)
        given.chmod(0o604)

        advice = [finding.advice for finding in machine.check_files()]
        assert advice == [f"Run: chmod 600 {secret}", f"Run: chmod o= {given}"]


class TestMail:
    @pytest.mark.embedded
    def test_server_that_answers_gets_no_mail(self, mailbox: Mailbox, settings: Any) -> None:
        with smtp(settings, mailbox.port):
            ((level, sentence),) = found(mail_checks.check_mail)

        assert (level, "without encryption" in sentence) == ("WARNING", True)
        assert mail.outbox == []

    @pytest.mark.embedded
    def test_server_that_does_not_answer_is_a_problem(self, settings: Any) -> None:
        with smtp(settings, free_port()):
            (finding,) = examination._guarded("mail", mail_checks.check_mail, "Start it")

        assert (finding.level, finding.advice) == (Level.PROBLEM, "Start it")

    @pytest.mark.embedded
    def test_without_a_server_nothing_is_wrong(self, settings: Any) -> None:
        settings.MAIL_IS_SET_UP = False

        assert levels(mail_checks.check_mail) == [Level.OK]


@pytest.mark.embedded
@pytest.mark.django_db
class TestCommand:
    def test_every_check_has_a_finding_and_the_document_has_them_all(self) -> None:
        outcome = run("doctor", "--json")

        document = json.loads(outcome.out)
        checks = {finding["check"] for finding in document["findings"]}
        assert {
            "variables",
            "settings",
            "secrets",
            "database",
            "clock",
            "migrations",
            "operators",
            "audit chain",
        } < checks
        assert {"Redis", "mail", "disk", "public port", "internal port", "internal surface"} < checks
        worst = max(Level[finding["level"].upper()] for finding in document["findings"])
        assert document["level"] == worst.name.lower()
        assert outcome.status == {Level.OK: 0, Level.WARNING: 4, Level.PROBLEM: 1}[worst]

    def test_text_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAIM_WORKRES", "2")

        outcome = run("doctor")

        assert (
            "\nvariables: MAIM_WORKRES is not a setting; did you mean MAIM_WORKERS?\n  Correct its name" in outcome.out
        )
        assert outcome.err == ""

    def test_database_that_does_not_answer_is_one_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> Iterator[Finding]:
            raise OperationalError("Can't connect")

        monkeypatch.setattr(database, "check_database", fail)

        findings = list(examination.examine())

        (finding,) = [each for each in findings if each.check == "database"]
        assert (finding.level, "Can't connect" in finding.found) == (Level.PROBLEM, True)
        assert {"migrations", "clock", "audit chain"}.isdisjoint({each.check for each in findings})
        assert "disk" in {each.check for each in findings}

    @pytest.mark.parametrize(
        ("of", "code"), [([], 0), ([Level.OK], 0), ([Level.OK, Level.WARNING], 4), ([Level.PROBLEM, Level.WARNING], 1)]
    )
    def test_worst_finding_is_the_exit_code(self, of: list[Level], code: int) -> None:
        assert exit_code([Finding("x", level, "y") for level in of]) == code


@pytest.mark.heavy
class TestAsAProcess:
    """Tests that need a real process."""

    @staticmethod
    def doctor(maim: MaimServer, *arguments: str, **environment: str) -> tuple[int, str, str]:
        ended = subprocess.run(
            [sys.executable, "manage.py", "doctor", *arguments],
            cwd=ROOT,
            env={**maim.environment, **environment},
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )
        return ended.returncode, ended.stdout, ended.stderr

    def test_running_server_is_found_on_both_ports(self, server: MaimServer) -> None:
        _status, out, err = self.doctor(server, "--json")

        served = {each["check"]: each for each in json.loads(out)["findings"] if each["check"].endswith(" port")}
        assert [each["level"] for each in served.values()] == ["ok", "ok"]
        assert all("serves at" in each["found"] for each in served.values())
        assert err == ""

    @pytest.mark.parametrize("form", [[], ["--json"]])
    def test_environment_with_which_nothing_starts_is_a_finding(self, server: MaimServer, form: list[str]) -> None:
        status, out, err = self.doctor(server, *form, MAIM_WORKERS="many", MAIM_SECRET_KEY="hunter2")

        assert (status, err) == (1, "")
        assert "MAIM_WORKERS" in out
        assert "MAIM_SECRET_KEY" in out
        assert "hunter2" not in out
        if form:
            assert json.loads(out)["level"] == "problem"

    def test_database_that_is_away_is_a_finding_without_its_password(self, server: MaimServer) -> None:
        away = f"mysql://maim:hunter2@127.0.0.1:{free_port()}/maim"

        status, out, err = self.doctor(server, "--json", DATABASE_URL=away)

        (finding,) = [each for each in json.loads(out)["findings"] if each["check"] == "database"]
        assert (status, err, finding["level"]) == (1, "", "problem")
        assert "hunter2" not in out


def surface(of: Surface, bind: Bind) -> Surface:
    """Return a surface like another, at another address."""
    return Surface(name=of.name, bind=bind, urlconf=of.urlconf, middleware=of.middleware, threads=of.threads)


def check_port(monkeypatch: pytest.MonkeyPatch, port: int) -> list[Finding]:
    """Return what is found of the public surface at this port."""
    monkeypatch.setattr(machine, "SURFACES", (surface(PUBLIC, Bind("127.0.0.1", port)),))
    return list(machine.check_ports())


@contextmanager
def smtp(settings: Any, port: int) -> Iterator[None]:
    """Send mails to a port of this machine."""
    settings.MAIL_IS_SET_UP = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    yield
