"""`manage.py agents`: agents as files, and what is between two versions, from the command line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from agent_config.secrets import opened
from agents import services
from agents.management.commands.agents import EXIT_CODES
from agents.models import Agent
from agents.services import plugins
from core.commands.exit_codes import ExitCode
from core.models import AuditEntry
from tests.support.commands import Outcome, run
from tests.support.configs import MASK, Config, model, provider, secret_provider
from tests.support.people import OPERATOR, Person, make_agent
from tests.support.server import ROOT, MaimServer
from tests.support.tables import changed_tables, tables

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

CONFIG: Config = {"persona": "kind", **model(api_providers=[secret_provider()])}
FORMS = ("json", "toml")
IN_CHINESE = {"json": '{"maim_export": 1, "name": "客服机器人"}', "toml": 'maim_export = 1\nname = "客服机器人"\n'}


def agents(*arguments: str | Path, stdin: str = "") -> Outcome:
    """Run `manage.py agents`."""
    return run("agents", *map(str, arguments), stdin=io.TextIOWrapper(io.BytesIO(stdin.encode())))


def parsed(text: str, form: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text) if form == "json" else tomllib.loads(text)
    return found


def change(agent: Agent, config: Config) -> None:
    services.update_agent(actor=OPERATOR, agent=agent, changes={"config": config})


@pytest.fixture
def agent(alice: Person) -> Agent:
    agent = make_agent(alice.tenant, "bot", description="helps", tags=["x"], config=CONFIG)
    plugins.set_plugin(
        actor=OPERATOR, tenant=alice.tenant, agent=agent, plugin_name="news", enabled=True, config={"every": 5}
    )
    return agent


class TestExport:
    @pytest.mark.parametrize("form", FORMS)
    def test_a_file_goes_to_standard_output_without_secrets(self, agent: Agent, form: str) -> None:
        outcome = agents("export", "bot", "--format", form)

        assert (outcome.status, outcome.err) == (0, "")
        assert parsed(outcome.out, form) == {
            "maim_export": 1,
            "name": "bot",
            "description": "helps",
            "tags": ["x"],
            "config": {"persona": "kind", **model(api_providers=[provider()])},
            "plugins": [{"plugin_name": "news", "enabled": True, "config": {"every": 5}}],
        }

    @pytest.mark.parametrize(("name", "form"), [("bot.json", "json"), ("bot.toml", "toml"), ("bot", "json")])
    def test_the_name_of_a_file_says_its_format(self, agent: Agent, tmp_path: Path, name: str, form: str) -> None:
        outcome = agents("export", agent.id, "--output", tmp_path / name)

        assert outcome == Outcome(0, "", "")
        assert parsed((tmp_path / name).read_text(), form)["name"] == "bot"

    def test_secrets_are_revealed_on_request_and_audited(self, agent: Agent) -> None:
        outcome = agents("export", agent.id, "--reveal-secrets")

        assert json.loads(outcome.out)["config"] == CONFIG
        row = AuditEntry.objects.first()
        assert row is not None
        assert (row.action, row.object_id, row.actor_label) == (
            "agent.reveal_secrets",
            agent.id,
            "manage.py agents export",
        )

    def test_file_with_secrets_is_readable_by_its_owner_only(self, agent: Agent, tmp_path: Path) -> None:
        file = tmp_path / "bot.json"
        file.write_text("an older file that is longer than the new one" * 100)
        file.chmod(0o644)

        agents("export", agent.id, "--reveal-secrets", "--output", file)

        assert file.stat().st_mode & 0o777 == 0o600
        assert json.loads(file.read_text())["config"] == CONFIG

    def test_agent_that_toml_cannot_hold_is_refused(self, agent: Agent, tmp_path: Path) -> None:
        plugins.set_plugin(
            actor=OPERATOR, tenant=agent.tenant, agent=agent, plugin_name="odd", enabled=True, config={"x": None}
        )

        outcome = agents("export", "bot", "--output", tmp_path / "bot.toml")

        assert outcome.status == ExitCode.REFUSED
        assert outcome.err.startswith("--format: ")
        assert not (tmp_path / "bot.toml").exists()

    def test_a_file_that_cannot_be_written_is_named(self, agent: Agent, tmp_path: Path) -> None:
        file = tmp_path / "missing" / "bot.json"

        assert agents("export", "bot", "--output", file) == Outcome(
            ExitCode.REFUSED, "", f"{file}: No such file or directory"
        )


class TestNaming:
    @pytest.mark.parametrize("text", ["nobody", "agent_000000000000", "acme/bot"])
    def test_missing_agent_is_not_found(self, agent: Agent, text: str) -> None:
        outcome = agents("export", text)

        assert (outcome.status, outcome.err) == (ExitCode.NOT_FOUND, f"There is no agent {text!r}")

    def test_ambiguous_name_is_an_error_that_lists_the_candidates(self, agent: Agent, charlie: Person) -> None:
        other = make_agent(charlie.tenant, "bot")

        outcome = agents("export", "bot")

        assert outcome.status == ExitCode.NOT_FOUND
        assert "names 2 agents; take the id:" in outcome.err
        assert {agent.id, other.id, agent.tenant_id, other.tenant_id} <= set(
            outcome.err.replace("(", " ").replace(")", " ").split()
        )

    def test_tenant_makes_a_name_unambiguous(self, agent: Agent, charlie: Person) -> None:
        make_agent(charlie.tenant, "bot", description="another")

        assert json.loads(agents("export", f"{agent.tenant}/bot").out)["description"] == "helps"


class TestImport:
    @pytest.mark.parametrize("form", FORMS)
    def test_exported_agent_is_imported_into_another_tenant(
        self, agent: Agent, charlie: Person, tmp_path: Path, form: str
    ) -> None:
        file = tmp_path / f"bot.{form}"
        agents("export", "bot", "--reveal-secrets", "--output", file)

        answer = agents("import", file, "--tenant", charlie.tenant.tenant_name, "--json").document

        twin = Agent.unscoped.get(pk=answer["agent"]["id"])
        assert (twin.tenant_id, twin.name) == (charlie.tenant.id, "bot")
        assert opened(twin.config) == CONFIG
        assert agents("export", twin.id).out == agents("export", agent.id).out
        assert "sk-mine" not in json.dumps(answer)

    def test_import_prints_the_new_agent(self, agent: Agent, charlie: Person, tmp_path: Path) -> None:
        agents("export", "bot", "--output", tmp_path / "bot.json")

        outcome = agents("import", tmp_path / "bot.json", "--tenant", charlie.tenant.id, "--name", "twin")

        twin = Agent.unscoped.get(name="twin")
        assert outcome.out.split() == ["id", twin.id, "name", "twin", "tenant", *charlie.tenant.tenant_name.split()]

    @pytest.mark.parametrize("form", FORMS)
    def test_file_is_read_from_standard_input(self, agent: Agent, charlie: Person, form: str) -> None:
        text = agents("export", "bot", "--format", form).out

        outcome = agents("import", "-", "--format", form, "--tenant", charlie.tenant.id, stdin=text)

        assert (outcome.status, outcome.err) == (0, "")
        assert Agent.unscoped.filter(tenant=charlie.tenant, name="bot").exists()

    def test_a_dry_run_changes_nothing(self, agent: Agent, charlie: Person) -> None:
        text = agents("export", "bot").out
        before = tables()

        outcome = agents("import", "-", "--tenant", charlie.tenant.id, "--dry-run", "--json", stdin=text)

        assert (outcome.document["dry_run"], outcome.document["agent"]) == (True, None)
        assert changed_tables(before, tables()) == set()

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("{", "standard input: not JSON at line 1, column 2"),
            ("[]", "standard input: must be an object"),
            ('{"maim_export": 1}', "--name: This field is required."),
            ('{"maim_export": 2, "name": "x"}', "maim_export: "),
            ('{"maim_export": 1, "name": "x", "config": {"bot_overrides": 5}}', "bot_overrides: "),
            ('{"maim_export": 1, "name": "bot"}', "An agent of this name already exists in the tenant"),
        ],
    )
    def test_invalid_file_is_refused_and_nothing_created(self, agent: Agent, text: str, sentence: str) -> None:
        before = tables()

        outcome = agents("import", "-", "--tenant", agent.tenant_id, stdin=text)

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert sentence in outcome.err
        assert changed_tables(before, tables()) == set()

    @pytest.mark.parametrize(
        ("encoding", "sentence"),
        [
            ("gbk", "this file is in GBK; save it as UTF-8"),
            ("utf-16", "this file is in UTF-16; save it as UTF-8"),
            ("utf-16-le", "this file is in UTF-16; save it as UTF-8"),
        ],
    )
    @pytest.mark.parametrize("form", FORMS)
    def test_file_of_another_encoding_is_refused_by_its_name(
        self, alice: Person, tmp_path: Path, form: str, encoding: str, sentence: str
    ) -> None:
        path = tmp_path / f"bot.{form}"
        path.write_bytes(IN_CHINESE[form].encode(encoding))

        outcome = agents("import", str(path), "--tenant", alice.tenant.id)

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert outcome.err == f"{path}: {sentence}"

    @pytest.mark.parametrize("form", FORMS)
    def test_file_with_a_byte_order_mark_is_read(self, alice: Person, tmp_path: Path, form: str) -> None:
        path = tmp_path / f"bot.{form}"
        path.write_bytes(IN_CHINESE[form].encode("utf-8-sig"))

        outcome = agents("import", str(path), "--tenant", alice.tenant.id)

        assert (outcome.status, outcome.err) == (0, "")
        assert Agent.unscoped.get().name == "客服机器人"

    def test_warnings_are_printed_and_refused_with_strict(self, alice: Person) -> None:
        odd = {"persona": {"states": [{"name": "正常"}]}}
        text = json.dumps({"maim_export": 1, "name": "bot", "config": odd})
        into = ("import", "-", "--tenant", alice.tenant.id)
        before = tables()

        refused = agents(*into, "--strict", stdin=text)
        rehearsed = agents(*into, "--dry-run", stdin=text)

        assert (refused.status, rehearsed.status) == (ExitCode.REFUSED, 0)
        assert "persona.states[0]" in refused.err
        assert rehearsed.err.startswith("warning: persona.states[0]: ")
        assert changed_tables(before, tables()) == set()
        answer = agents(*into, "--json", stdin=text).document
        assert [warning["path"] for warning in answer["config_warnings"]] == ["persona.states[0]"]
        assert answer["agent"]["config"] == odd

    def test_name_option_is_validated_like_the_files_name(self, agent: Agent) -> None:
        text = agents("export", "bot").out

        for name in ("", "x" * 101, "\udcff", "BOT"):
            outcome = agents("import", "-", "--tenant", agent.tenant_id, "--name", name, stdin=text)
            assert (outcome.status, outcome.out) == (ExitCode.REFUSED, ""), name
        assert Agent.unscoped.count() == 1

    def test_missing_file_is_named(self, alice: Person, tmp_path: Path) -> None:
        file = tmp_path / "bot.json"

        assert agents("import", file, "--tenant", alice.tenant.id) == Outcome(
            ExitCode.REFUSED, "", f"{file}: No such file or directory"
        )

    def test_missing_tenant_is_not_found(self, agent: Agent) -> None:
        assert agents("import", "-", "--tenant", "nobody").status == ExitCode.NOT_FOUND


class TestDiffOfVersions:
    @pytest.fixture
    def agent(self, alice: Person) -> Agent:
        """An agent with three versions."""
        agent = make_agent(alice.tenant, "bot", config={"x": 1})
        change(agent, {"x": 2})
        change(agent, {"y": [3]})
        return agent

    @pytest.mark.parametrize(
        ("versions", "first", "second", "changes"),
        [
            ([], 2, 3, [{"op": "add", "path": "/y", "value": [3]}]),
            (["2"], 2, 3, [{"op": "add", "path": "/y", "value": [3]}]),
            (["1", "2"], 1, 2, [{"op": "replace", "path": "/x", "value": 2}]),
            (["3", "2"], 3, 2, [{"op": "remove", "path": "/y"}]),
        ],
    )
    def test_difference_is_a_json_patch(
        self, agent: Agent, versions: list[str], first: int, second: int, changes: Any
    ) -> None:
        outcome = agents("diff", "bot", *versions, "--json")

        assert (outcome.status, outcome.err) == (ExitCode.NO, "")
        assert json.loads(outcome.out) == {"agent_id": agent.id, "from": first, "to": second, "changes": changes}

    def test_difference_is_printed_as_a_table(self, agent: Agent) -> None:
        outcome = agents("diff", "bot", "3", "1")

        assert outcome.status == ExitCode.NO
        assert sorted(outcome.rows) == [["remove", "/y", "-"], ["replace", "/x", "1"]]

    @pytest.mark.parametrize("versions", [["2", "2"], ["3"]])
    def test_no_difference_prints_nothing_and_succeeds(self, agent: Agent, versions: list[str]) -> None:
        assert agents("diff", "bot", *versions).out == ""
        assert agents("diff", "bot", *versions, "--json").document["changes"] == []

    def test_only_version_has_no_difference(self, alice: Person) -> None:
        make_agent(alice.tenant, "new")

        assert agents("diff", "new").status == 0

    def test_missing_version_is_not_found(self, agent: Agent) -> None:
        assert agents("diff", "bot", "1", "9").status == ExitCode.NOT_FOUND

    @pytest.mark.parametrize("what", [["1", "2", "3"], ["1", "bot.json"]])
    def test_too_many_arguments_are_a_usage_error(self, agent: Agent, what: list[str]) -> None:
        assert agents("diff", "bot", *what).status == ExitCode.USAGE

    def test_no_secret_is_shown(self, agent: Agent) -> None:
        change(agent, model(api_providers=[secret_provider()]))
        change(agent, model(api_providers=[provider(api_key="sk-new")]))

        outcome = agents("diff", "bot", "3", "5", "--json")

        assert MASK in outcome.out
        assert not any(secret in outcome.out for secret in ("sk-mine", "sk-new", "mine.example"))


class TestDiffWithAFile:
    @pytest.fixture
    def file(self, agent: Agent, tmp_path: Path) -> Path:
        """The agent as a file, with its secrets."""
        agents("export", "bot", "--reveal-secrets", "--output", tmp_path / "bot.json")
        return tmp_path / "bot.json"

    def edited(self, file: Path, **changes: Any) -> Path:
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
        return file

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("secrets", [(), ("--reveal-secrets",)])
    def test_agent_does_not_differ_from_its_export(
        self, agent: Agent, tmp_path: Path, form: str, secrets: tuple[str, ...]
    ) -> None:
        file = tmp_path / f"bot.{form}"
        agents("export", "bot", *secrets, "--output", file)

        told = agents("diff", "bot", file, "--json").document

        assert told == {"agent_id": agent.id, "from": agent.config_version, "to": str(file), "changes": []}

    def test_every_difference_is_listed(self, agent: Agent, file: Path) -> None:
        config = {**CONFIG, "persona": "kinder"}
        told = agents("diff", "bot", self.edited(file, name="twin", tags=[], plugins=[], config=config), "--json")

        assert told.status == ExitCode.NO
        assert {(each["op"], each["path"]) for each in json.loads(told.out)["changes"]} == {
            ("replace", "/name"),
            ("remove", "/tags/0"),
            ("remove", "/plugins/0"),
            ("replace", "/config/persona"),
        }

    def test_missing_members_of_a_file_count_as_empty(self, alice: Person, tmp_path: Path) -> None:
        make_agent(alice.tenant, "bare")
        file = tmp_path / "bare.json"
        file.write_text('{"maim_export": 1, "name": "bare"}')

        assert agents("diff", "bare", file).status == 0

    def test_different_secret_is_listed_without_its_value(self, agent: Agent, file: Path) -> None:
        config = model(api_providers=[{**secret_provider(), "api_key": "sk-new"}])

        outcome = agents("diff", "bot", self.edited(file, config={"persona": "kind", **config}), "--json")

        path = "/config/config_overrides/model/api_providers/0/api_key"
        assert json.loads(outcome.out)["changes"] == [{"op": "replace", "path": path, "value": MASK}]

    def test_mask_equals_the_stored_secret(self, agent: Agent, file: Path) -> None:
        masked = {"persona": "kind", **model(api_providers=[provider(base_url=MASK, api_key=MASK)])}

        assert agents("diff", "bot", self.edited(file, config=masked)).status == 0

    def test_invalid_file_is_refused(self, agent: Agent, file: Path) -> None:
        file.write_text("{}")

        assert agents("diff", "bot", file).status == ExitCode.REFUSED


@pytest.mark.parametrize("subcommand", [(), ("export",), ("import",), ("diff",)])
def test_help_explains_the_exit_codes(subcommand: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("agents", *subcommand, "--help")

    assert " ".join(EXIT_CODES.split()) in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("arguments", [(), ("move",), ("export",), ("import", "x"), ("export", "x", "--format", "xml")])
def test_a_wrong_command_line_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("agents", *arguments)


@pytest.mark.single
def test_a_database_that_does_not_answer_has_a_status_of_its_own(tmp_path: Path) -> None:
    nowhere = f"sqlite:///{tmp_path / 'missing' / 'maim.sqlite3'}"

    ended = subprocess.run(
        [sys.executable, "manage.py", "agents", "export", "bot"],
        cwd=ROOT,
        env=MaimServer(tmp_path, "maim_agents", DATABASE_URL=nowhere).environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == ExitCode.UNAVAILABLE, ended.stderr
    assert "Traceback" not in ended.stderr
