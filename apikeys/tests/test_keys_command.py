"""`manage.py keys`: issuing, changing and rotating keys from the command line (docs/operations.md)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from errno import ENOSPC
from io import StringIO
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models import QuerySet
from django.utils import timezone
from time_machine import travel

from agents import services as agents
from agents.models import Agent, AgentStatus
from apikeys import keyformat, verification
from apikeys.errors import KeyNotFound
from apikeys.models import ApiKey
from apikeys.services import IssuedKey
from apikeys.tests.commands import keys, secrets_in
from core.commands.exit_codes import ExitCode, command_error
from core.models import AuditEntry, Epoch, Invalidation
from tests.support.commands import Outcome, Terminal
from tests.support.instances import WAIT
from tests.support.people import OPERATOR, Person, make_agent, make_key
from tests.support.server import ROOT, MaimServer
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.embedded

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def is_good(secret: str) -> bool:
    return verification.verify(secret).is_valid


class TestIssuing:
    def test_key_is_issued_with_every_option(self, agent: Agent) -> None:
        with travel(NOON, tick=False):
            outcome = keys(
                "issue",
                agent.id,
                *("--name", "production", "--description", "for the bot"),
                *("--permission", "chat", "--permission", "config.*"),
                *("--expires-at", "2026-12-31T00:00:00+08:00"),
                *("--rate-limit", "100/60", "--quota", "10000/month"),
                *("--allow-network", "10.0.0.0/8", "--allow-network", "2001:db8::/32"),
                *("--metadata", '{"team": "东"}'),
                "--json",
            )

        key = outcome.document
        assert is_good(key["api_key"]) is False, "it may be used from its networks only"
        rest = {
            "tenant_id": agent.tenant_id,
            "agent_id": agent.id,
            "name": "production",
            "description": "for the bot",
            "permissions": ["chat", "config.*"],
            "status": "active",
            "expires_at": "2026-12-30T16:00:00Z",
            "usage_count": 0,
            "created_at": "2026-01-31T12:00:00Z",
            "rate_limit": {"limit": 100, "window_seconds": 60},
            "quota": {"limit": 10000, "period": "month"},
            "allowed_networks": ["10.0.0.0/8", "2001:db8::/32"],
            "metadata": {"team": "东"},
        }
        assert {field: key[field] for field in rest} == rest
        assert keyformat.parse(key["api_key"]).agent_id == agent.id

    def test_audit_row_names_the_command(self, agent: Agent) -> None:
        key = keys("issue", agent.id, "--name", "production", "--json").document

        entry = AuditEntry.objects.get(action="key.create")
        assert (entry.actor_kind, entry.actor_label) == ("command", "manage.py keys issue")
        assert (entry.object_id, entry.tenant_id) == (key["api_key_id"], agent.tenant_id)

    def test_text_output_has_the_secret_once_and_a_note_on_stderr(self, agent: Agent) -> None:
        outcome = keys("issue", agent.id, "--name", "production", "--rate-limit", "100/60", "--quota", "5/total")

        (secret,) = secrets_in(outcome.out)
        assert is_good(secret)
        assert re.search(r"^name +production$", outcome.out, re.MULTILINE)
        assert re.search(r"^rate limit +100 in 60 s$", outcome.out, re.MULTILINE)
        assert re.search(r"^quota +5 in all$", outcome.out, re.MULTILINE)
        assert "one time" in outcome.err
        assert secrets_in(outcome.err) == []

    def test_quiet_output_is_the_secret_alone(self, agent: Agent) -> None:
        outcome = keys("issue", agent.id, "--name", "production", "--quiet")

        assert is_good(outcome.out.removesuffix("\n"))
        assert outcome.err == ""

    def test_days_count_from_now(self, agent: Agent) -> None:
        with travel(NOON, tick=False):
            key = keys("issue", agent.id, "--name", "production", "--expires-in-days", "30", "--json").document

        assert key["expires_at"] == "2026-03-02T12:00:00Z"

    @pytest.mark.parametrize(
        ("arguments", "blamed"),
        [
            (["--name", " "], "--name: "),
            (["--name", "x" * 101], "--name: "),
            (["--name", "x", "--permission", "two words"], "--permission: "),
            (["--name", "x", "--expires-at", "tomorrow"], "--expires-at: "),
            (["--name", "x", "--rate-limit", "0/60"], "--rate-limit (limit): "),
            (["--name", "x", "--rate-limit", "1/86401"], "--rate-limit (window_seconds): "),
            (["--name", "x", "--quota", "0/day"], "--quota (limit): "),
            (["--name", "x", "--allow-network", "10.0.0.1/8"], "--allow-network: "),
            (["--name", "x", "--metadata", "[]"], "--metadata: "),
            (["--name", "x", "--metadata", json.dumps({"x": "y" * 9000})], "--metadata: "),
        ],
    )
    def test_invalid_value_is_refused_and_its_option_named(
        self, agent: Agent, arguments: list[str], blamed: str
    ) -> None:
        outcome = keys("issue", agent.id, *arguments)

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert outcome.err.startswith(blamed)
        assert not ApiKey.objects.in_tenants([agent.tenant_id]).exists()

    def test_all_invalid_options_are_named_at_once(self, agent: Agent) -> None:
        outcome = keys("issue", agent.id, "--name", "", "--expires-at", "x", "--quota", "0/day")

        assert {line.split(" ")[0].rstrip(":") for line in outcome.err.splitlines()} == {
            "--name",
            "--expires-at",
            "--quota",
        }

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--rate-limit", "100"],
            ["--rate-limit", "a/b"],
            ["--quota", "5/year"],
            ["--quota", "many/day"],
            ["--expires-in-days", "0"],
            ["--expires-in-days", "1_0"],
            ["--metadata", "{"],
            ["--metadata", '{"a": NaN}'],
            ["--expires-at", "2030-01-01T00:00:00Z", "--expires-in-days", "1"],
            ["--json", "--quiet"],
        ],
    )
    def test_malformed_option_is_a_usage_error(self, agent: Agent, arguments: list[str]) -> None:
        with pytest.raises(CommandError, match=arguments[0] if len(arguments) == 2 else "not allowed with"):
            call_command("keys", "issue", agent.id, "--name", "x", *arguments)

    def test_a_taken_name_is_refused(self, agent: Agent, issued: IssuedKey) -> None:
        outcome = keys("issue", agent.id, "--name", "PRODUCTION")

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert "already exists" in outcome.err

    def test_archived_agent_gets_no_key(self, agent: Agent) -> None:
        agents.update_agent(actor=OPERATOR, agent=agent, changes={"status": AgentStatus.ARCHIVED})

        assert keys("issue", agent.id, "--name", "x").status == ExitCode.REFUSED


class TestChanging:
    @pytest.fixture
    def three(self, agent: Agent) -> list[IssuedKey]:
        return [make_key(agent, name) for name in ("one", "two", "three")]

    def test_keys_are_disabled_and_enabled(self, three: list[IssuedKey]) -> None:
        off = keys("disable", "one", three[1].key.id, "--json").document

        assert [(key["name"], key["status"]) for key in off["items"]] == [("one", "disabled"), ("two", "disabled")]
        assert [is_good(key.secret) for key in three] == [False, False, True]

        on = keys("enable", "two", "one")

        assert [(row[1], row[4]) for row in on.rows] == [("two", "active"), ("one", "active")]
        assert all(is_good(key.secret) for key in three)

    def test_keys_are_deleted(self, three: list[IssuedKey]) -> None:
        deleted = keys("delete", "one", "two", "--yes", "--json").document

        assert deleted == {"items": [{"api_key_id": key.key.id} for key in three[:2]]}
        assert [is_good(key.secret) for key in three] == [False, False, True]
        assert keys("delete", "three", "--yes").out == f"deleted {three[2].key.id}\n"

    @pytest.mark.parametrize("command", ["disable", "rotate", "delete"])
    def test_several_keys_wait_for_workers_once(self, three: list[IssuedKey], command: str) -> None:
        before = Epoch.objects.values_list("value", flat=True).first() or 0
        QuerySet(AuditEntry).delete()

        assert keys(command, "one", "two", "three", *(["--yes"] if command == "delete" else [])).status == 0

        assert Epoch.objects.get().value == before + 1
        ids = {key.key.id for key in three}
        assert set(Invalidation.objects.filter(epoch=before + 1).values_list("subject", flat=True)) == ids
        entries = AuditEntry.objects.values_list("actor_kind", "actor_label", "object_id")
        assert set(entries) == {("command", f"manage.py keys {command}", key_id) for key_id in ids}

    @pytest.mark.parametrize("command", ["disable", "rotate", "delete"])
    def test_missing_key_leaves_the_others_unchanged(self, three: list[IssuedKey], command: str) -> None:
        outcome = keys(command, "one", "nobody", "two", *(["--yes"] if command == "delete" else []))

        assert (outcome.status, outcome.out) == (ExitCode.NOT_FOUND, "")
        assert all(is_good(key.secret) for key in three)

    def test_refused_key_leaves_the_others_unchanged(self, three: list[IssuedKey], alice: Person) -> None:
        retired = make_agent(alice.tenant)
        make_key(retired, "retired")
        agents.update_agent(actor=OPERATOR, agent=retired, changes={"status": AgentStatus.ARCHIVED})

        outcome = keys("rotate", "one", "two", "retired")

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert all(is_good(key.secret) for key in three)

    def test_a_key_named_twice_is_changed_once(self, three: list[IssuedKey]) -> None:
        outcome = keys("delete", "one", three[0].key.id, "ONE", "--yes")

        assert (outcome.status, outcome.out) == (0, f"deleted {three[0].key.id}\n")

    def test_deleting_without_a_terminal_requires_yes(self, three: list[IssuedKey]) -> None:
        outcome = keys("delete", "one", stdin=StringIO("y\n"))

        assert outcome.status == ExitCode.REFUSED
        assert "--yes" in outcome.err
        assert is_good(three[0].secret)

    @pytest.mark.parametrize(
        ("answer", "status"),
        [("y", 0), ("YES", 0), ("n", ExitCode.REFUSED), ("", ExitCode.REFUSED), ("yolo", ExitCode.REFUSED)],
    )
    def test_deleting_at_a_terminal_asks(self, three: list[IssuedKey], answer: str, status: int) -> None:
        outcome = keys("delete", "one", "two", stdin=Terminal(f"{answer}\n"))

        assert outcome.status == status
        assert all(key.key.id in outcome.err for key in three[:2])
        assert "[y/N]" in outcome.err
        assert [is_good(key.secret) for key in three] == [status != 0, status != 0, True]


class TestRotating:
    def test_rotation_replaces_the_old_secret_at_once(self, issued: IssuedKey) -> None:
        rotated = keys("rotate", "production", "--json").document

        (key,) = rotated["items"]
        assert key["api_key_id"] == issued.key.id
        assert is_good(key["api_key"])
        assert not is_good(issued.secret)

    def test_old_secret_is_good_during_the_grace_period(self, issued: IssuedKey) -> None:
        now = timezone.now()
        with travel(now, tick=False):
            keys("rotate", "production", "--grace-seconds", "60")

        for seconds, good in ((59, True), (60, False)):
            with travel(now + timedelta(seconds=seconds), tick=False):
                assert is_good(issued.secret) == good

    def test_text_output_has_each_secret_once(self, agent: Agent, issued: IssuedKey) -> None:
        make_key(agent, "staging")

        outcome = keys("rotate", "production", "staging")

        both = secrets_in(outcome.out)
        assert len(both) == len(set(both)) == 2
        assert all(map(is_good, both))
        assert secrets_in(outcome.err) == []

    def test_quiet_output_has_one_secret_a_line(self, agent: Agent, issued: IssuedKey) -> None:
        staging = make_key(agent, "staging").key

        outcome = keys("rotate", "staging", "production", "--quiet")

        found = [verification.verify(line).facts for line in outcome.out.splitlines()]
        assert [facts and facts.key_id for facts in found] == [staging.id, issued.key.id]
        assert outcome.err == ""


class TestSecretFile:
    def test_secrets_go_to_a_file_that_only_its_owner_can_read(self, agent: Agent, tmp_path: Path) -> None:
        file = tmp_path / "secret"

        shown = keys("issue", agent.id, "--name", "production", "--secret-file", str(file), "--json").document

        assert file.stat().st_mode & 0o777 == 0o600
        assert is_good(file.read_text().removesuffix("\n"))
        assert secrets_in(str(shown)) == []
        both = tmp_path / "both"
        make_key(agent, "staging")
        outcome = keys("rotate", "production", "staging", "--secret-file", str(both))
        assert [is_good(line) for line in both.read_text().splitlines()] == [True, True]
        assert secrets_in(outcome.out + outcome.err) == []

    def test_nothing_is_issued_where_the_file_cannot_be_made(self, agent: Agent, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text("of another key")

        for place in (file, tmp_path / "none" / "secret"):
            outcome = keys("issue", agent.id, "--name", "production", "--secret-file", str(place))
            assert (outcome.status, str(place) in outcome.err) == (ExitCode.REFUSED, True)
        assert file.read_text() == "of another key"
        assert not ApiKey.objects.in_tenants([agent.tenant_id]).exists()

    def test_refused_key_leaves_no_file(self, agent: Agent, issued: IssuedKey, tmp_path: Path) -> None:
        outcome = keys("issue", agent.id, "--name", "production", "--secret-file", str(tmp_path / "secret"))

        assert outcome.status == ExitCode.REFUSED
        assert list(tmp_path.iterdir()) == []

    def test_nothing_is_issued_where_the_disk_is_full(self, agent: Agent, tmp_path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("core.commands.files.os.fsync", Mock(side_effect=OSError(ENOSPC, os.strerror(ENOSPC))))
            outcome = keys("issue", agent.id, "--name", "production", "--secret-file", str(tmp_path / "secret"))

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert outcome.err == f"{tmp_path / 'secret'}: No space left on device"
        assert list(tmp_path.iterdir()) == []
        assert not ApiKey.objects.in_tenants([agent.tenant_id]).exists()

    def test_secret_survives_ctrl_c_after_the_commit(self, issued: IssuedKey, tmp_path: Path) -> None:
        """The old secret is no longer good then, and the new one can be read nowhere else."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("core.epoch.Wait.seconds_left", property(Mock(side_effect=KeyboardInterrupt)))
            with pytest.raises(KeyboardInterrupt):
                keys("rotate", "production", "--secret-file", str(tmp_path / "secret"))

        assert not is_good(issued.secret)
        assert is_good((tmp_path / "secret").read_text().strip())


class TestShowingSecrets:
    """A secret on standard output is shown before the commit, so that nothing commits that nobody has seen."""

    def test_secret_is_shown_before_ctrl_c_ends_the_wait_for_workers(self, issued: IssuedKey) -> None:
        shown = StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("core.epoch.Wait.seconds_left", property(Mock(side_effect=KeyboardInterrupt)))
            with pytest.raises(KeyboardInterrupt):
                call_command("keys", "rotate", "production", "--quiet", stdout=shown)

        assert not is_good(issued.secret)
        assert is_good(shown.getvalue().strip())

    @pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
    def test_nothing_is_issued_where_the_secret_could_not_be_shown(
        self, agent: Agent, issued: IssuedKey, error: type[BaseException]
    ) -> None:
        class BlockedPipe(StringIO):
            def flush(self) -> None:
                raise error

        for arguments in (["rotate", "production"], ["issue", agent.id, "--name", "other", "--json"]):
            with pytest.raises(error):
                call_command("keys", *arguments, stdout=BlockedPipe())

        assert is_good(issued.secret)
        assert list(ApiKey.objects.in_tenants([agent.tenant_id])) == [issued.key]

    def test_change_that_is_taken_back_after_the_secret_was_shown_is_not_made_again(self, issued: IssuedKey) -> None:
        """The first secret would stand in the output before the one that is good."""
        deadlock = OperationalError(1213, "Deadlock found when trying to get lock")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("core.epoch._next", Mock(side_effect=deadlock))
            outcome = keys("rotate", "production", "--quiet")

        assert (outcome.status, len(outcome.out.splitlines())) == (ExitCode.REFUSED, 1)
        assert "Nothing has changed" in outcome.err
        assert is_good(issued.secret)


class TestReportingLeaks:
    def test_reported_secret_is_never_good_again(self, issued: IssuedKey) -> None:
        outcome = keys(
            "report-leaked", "--where", "https://example.com/paste", "--yes", stdin=StringIO(f"{issued.secret}\n")
        )

        assert outcome.status == 0, outcome.err
        assert "seen at: https://example.com/paste" in outcome.out
        assert not is_good(issued.secret)
        assert AuditEntry.objects.get(action="key.report_leak").actor_label == "manage.py keys report-leaked"
        assert secrets_in(outcome.out + outcome.err) == []

    def test_it_is_asked_about(self, issued: IssuedKey) -> None:
        outcome = keys("report-leaked", stdin=StringIO(issued.secret))

        assert (outcome.status, "--yes" in outcome.err) == (ExitCode.REFUSED, True)
        assert is_good(issued.secret)

    @pytest.mark.parametrize(
        ("typed", "status"),
        [
            ("", ExitCode.REFUSED),
            ("no key", ExitCode.REFUSED),
            (keyformat.generate("tenant_000000000000", "agent_000000000000"), ExitCode.NOT_FOUND),
        ],
    )
    def test_what_is_no_key_of_maim_is_refused(self, db: None, typed: str, status: int) -> None:
        outcome = keys("report-leaked", "--yes", stdin=StringIO(typed))

        assert (outcome.status, outcome.out) == (status, "")
        assert secrets_in(outcome.err) == []

    def test_secret_on_the_command_line_is_not_taken(self, issued: IssuedKey) -> None:
        outcome = keys("report-leaked", issued.secret, "--yes")

        assert outcome.status == ExitCode.USAGE
        assert secrets_in(outcome.err) == []
        assert is_good(issued.secret)


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "arguments",
    [
        ["issue", "{agent}", "--name", "new"],
        ["rotate", "production"],
        ["disable", "production"],
        ["enable", "production"],
        ["delete", "production"],
        ["report-leaked"],
    ],
)
def test_dry_run_writes_nothing_and_shows_no_secret(
    agent: Agent, issued: IssuedKey, arguments: list[str], form: list[str]
) -> None:
    before = tables()
    named = [argument.format(agent=agent.id) for argument in arguments]

    outcome = keys(*named, *form, "--dry-run", stdin=StringIO(issued.secret))

    assert (outcome.status, outcome.err) == (0, "A dry run: nothing was written.\n")
    assert changed_tables(before, tables()) == set()
    assert secrets_in(outcome.out) == []


def test_only_issue_and_rotate_print_a_secret(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    secret = keys("issue", agent.id, "--name", "production", "--quiet").out.strip()
    commands = [["list"], ["show", "production"], ["disable", "production"], ["enable", "production"], ["verify"]]

    for command in [*commands, ["delete", "production", "--yes"]]:
        for form in ([], ["--json"]) if command[0] != "delete" else ([],):
            outcome = keys(*command, *form, stdin=StringIO(secret))
            assert outcome.status == 0, outcome.err
            assert secrets_in(outcome.out + outcome.err) == []
    assert secrets_in(caplog.text) == []
    assert secrets_in(str(list(AuditEntry.objects.values()))) == []


def test_key_deleted_during_a_change_is_not_found() -> None:
    assert command_error(KeyNotFound()).returncode == ExitCode.NOT_FOUND


def test_exit_codes_are_the_documented_ones() -> None:
    section = (ROOT / "docs/operations.md").read_text().partition("\n## Keys from the command line\n")[2]
    table = section.partition("\n| exit status | meaning |\n")[2].partition("\n\n")[0]

    assert [int(status) for status in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == [0, *ExitCode]


@pytest.fixture(scope="module")
def maim(tmp_path_factory: pytest.TempPathFactory) -> MaimServer:
    """The settings of a database with one agent, `bot`, and no server."""
    maim = MaimServer(tmp_path_factory.mktemp("keys"), "maim_keys")
    maim.migrate()
    maim.manage(
        "shell",
        "--no-imports",
        "-c",
        "from tests.support.people import make_agent, register; make_agent(register('alice').tenant, 'bot')",
    )
    return maim


def run(maim: MaimServer, *arguments: str, typed: str = "", **environment: str) -> Outcome:
    """Run `manage.py keys` in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "manage.py", "keys", *arguments],
        cwd=ROOT,
        env={**maim.environment, **environment},
        input=typed,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.heavy
class TestAsAProcess:
    """Tests that need a real process: exit codes and separate streams."""

    def test_shell_can_capture_a_key_and_verify_it(self, maim: MaimServer) -> None:
        script = """
            KEY=$("$PYTHON" manage.py keys issue bot --name "from a shell" --quiet) || exit
            printf %s "$KEY" | "$PYTHON" manage.py keys verify --json
        """
        ended = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env={**maim.environment, "PYTHON": sys.executable},
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )

        assert (ended.returncode, ended.stderr) == (0, "")
        assert json.loads(ended.stdout)["key_name"] == "from a shell"

    def test_exit_code_tells_the_outcome(self, maim: MaimServer) -> None:
        """Show a wrong command line, an error and an answer: every other outcome takes the way of one of these."""
        unknown = keyformat.generate("tenant_000000000000", "agent_000000000000")

        assert run(maim, "issue", "bot").status == ExitCode.USAGE
        assert run(maim, "disable", "nobody").status == ExitCode.NOT_FOUND
        answered = run(maim, "verify", typed=unknown)
        assert (answered.status, answered.err) == (ExitCode.NO, "")

    def test_missing_database_is_reported(self, maim: MaimServer, tmp_path: Path) -> None:
        nowhere = f"sqlite:///{tmp_path / 'missing' / 'maim.sqlite3'}"
        secret = keyformat.generate("tenant_000000000000", "agent_000000000000")

        for command in (["list"], ["verify"]):
            outcome = run(maim, *command, typed=secret, DATABASE_URL=nowhere)
            assert (outcome.status, outcome.out) == (ExitCode.UNAVAILABLE, "")
            assert "Traceback" not in outcome.err
            assert secrets_in(outcome.err) == []
