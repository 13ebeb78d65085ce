"""The bot's own files: imported by `manage.py agents import`, exported by `agents export --as maibot`."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_config.maibot.places import in_config
from agents.models import Agent
from core.commands.exit_codes import ExitCode
from core.models import AuditEntry
from tests.support.commands import Outcome, run
from tests.support.configs import stored
from tests.support.people import Person
from tests.support.server import ROOT
from tests.support.tables import tables

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

BOTS = ROOT / "tests/support/bots"
NAMES = sorted(path.name for path in BOTS.iterdir())
FILES = {"bot": "bot_config.toml", "model": "model_config.toml"}


def agents(*arguments: str | Path) -> Outcome:
    return run("agents", *map(str, arguments))


def import_bot(name: str, tenant: Any, *more: str) -> Outcome:
    """Import the bot of this name by one command."""
    files = [(f"--{option}", BOTS / name / file) for option, file in FILES.items() if (BOTS / name / file).exists()]
    options = [part for pair in files for part in pair]
    return agents("import", *options, "--tenant", tenant.id, "--name", name, *more)


def contents(folder: Path) -> dict[str, Any]:
    """Return the files of a bot as one config, as far as they are alike."""
    found = {
        option: tomllib.loads((folder / file).read_text(encoding="utf-8-sig"))
        for option, file in FILES.items()
        if (folder / file).exists()
    }
    config = in_config(found.get("bot", {}))
    if "model" in found:
        config["config_overrides"]["model"] = {key: value for key, value in found["model"].items() if key != "inner"}
    config["versions"] = {option: document["inner"] for option, document in found.items() if "inner" in document}
    return config


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and the JSON of each value that is no object; named items go by their names."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        value = {f"[{item['name']}]": item for item in value}
    if isinstance(value, dict):
        for key, member in value.items():
            yield from leaves(member, f"{path}.{key}".strip("."))
    else:
        yield path, json.dumps(value, default=str)


def is_told(path: str, told: set[str]) -> bool:
    """Return whether a report tells of a path, or of something around or within it."""
    plain = path.partition("[")[0].rstrip(".")
    return any(path.startswith(each) or each.partition("[")[0].startswith(plain) for each in told)


@pytest.mark.parametrize("name", NAMES)
def test_bot_comes_in_and_goes_out_equal_but_for_what_was_told(name: str, alice: Person, tmp_path: Path) -> None:
    """Given files of some version, when one command imports them and one exports them, then nothing else differs."""
    imported = import_bot(name, alice.tenant, "--json")
    assert imported.status == 0, imported.err
    report = json.loads(imported.out)["report"]

    assert agents("export", name, "--as", "maibot", tmp_path, "--reveal-secrets").status == 0

    before, after = (dict(leaves(contents(folder))) for folder in (BOTS / name, tmp_path))
    told = {note["path"] for part in ("repairs", "left_out") for note in report[part]}
    differ = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    added = {path for path in differ if path.startswith("versions") and path not in before}
    assert {path for path in differ - added if not is_told(path, told)} == set()
    assert report["config_schema"] == ("maibot-1.2" if name.startswith("1.") else "maibot-0.12")


def test_odd_types_are_repaired_and_each_is_told(alice: Person) -> None:
    told = json.loads(import_bot("0.12-by-hand", alice.tenant, "--json").out)["report"]

    assert {note["path"]: note["message"] for note in told["repairs"]} == {
        "bot_overrides.alias_names": "was one value, and is now a list",
        "bot_overrides.nickname": "was a number, and is now a text",
        "bot_overrides.platforms": "was one value, and is now a list",
        "bot_overrides.qq_account": "was a number, and is now a text",
        "config_overrides.chat.at_bot_inevitable_reply": "was true or false, and is now a number",
        "config_overrides.chat.max_context_size": "had a fraction of zero, and is now a whole number",
        "config_overrides.chat.mentioned_bot_reply": "was a text, and is now true or false",
        "config_overrides.chat.talk_value": "was true or false, and is now a number",
        "config_overrides.maim_message.auth_token": "was one value, and is now a list",
        "config_overrides.maim_message.port": "was a text, and is now a number",
        "config_overrides.maim_message.use_wss": "was a number, and is now true or false",
        "config_overrides.message_receive.ban_words": "numbers in the list are now texts",
        "config_overrides.model.api_providers[0]": "this name comes again; the last counts",
        "config_overrides.model.model_task_config.replyer.max_tokens": "was a text, and is now a number",
        "config_overrides.model.model_task_config.replyer.model_list": "was one value, and is now a list",
        "config_overrides.model.models[0].api_provider": "was named provider_name",
        "config_overrides.model.models[0].price_in": "was a text, and is now a number",
        "config_overrides.mood.enable_mood": "was a number, and is now true or false",
        "config_overrides.mood.mood_update_threshold": "was a text, and is now a number",
        "config_overrides.schedule.since": "was a date or time, and is now a text",
        "config_overrides.schedule.wake_up": "was a date or time, and is now a text",
        "config_overrides.tool.enable_tool": "was a text, and is now true or false",
        "persona.personality": "was a list of texts, and is now one text of so many lines",
        "persona.state_probability": "was a text, and is now a number",
    }
    assert [note["path"] for note in told["left_out"]] == [
        "config_overrides.message_receive.ban_msgs_regex[0]",
        "config_overrides.model.api_providers[1].name",
    ]
    assert told["unknown"] == ["config_overrides.schedule"]
    config = stored()
    assert config["bot_overrides"]["qq_account"] == "2233445575"
    assert config["config_overrides"]["model"]["api_providers"] == [
        {"name": "one", "base_url": "https://one.example.com/v2", "api_key": "sk-second"}
    ]


def test_models_in_an_old_bot_file_become_models_providers_and_tasks(alice: Person) -> None:
    import_bot("0.8", alice.tenant)

    model = stored()["config_overrides"]["model"]
    assert [item["name"] for item in model["models"]] == [
        "Pro/deepseek-ai/DeepSeek-V3",
        "Pro/deepseek-ai/DeepSeek-V3 (replyer_2)",
        "Qwen/Qwen3-8B",
    ]
    assert model["models"][2] == {
        "name": "Qwen/Qwen3-8B",
        "model_identifier": "Qwen/Qwen3-8B",
        "api_provider": "SILICONFLOW",
        "price_in": 0,
        "price_out": 0,
        "temperature": 0.7,
        "extra_params": {"enable_thinking": False},
    }
    assert model["api_providers"] == [{"name": "SILICONFLOW"}]
    assert model["model_task_config"]["replyer"]["model_list"] == [item["name"] for item in model["models"][:2]]
    assert model["model_max_output_length"] == 1000


def test_list_of_keys_is_kept_whole(alice: Person) -> None:
    import_bot("0.12", alice.tenant)

    provider = stored()["config_overrides"]["model"]["api_providers"][1]
    assert (provider["api_key"], provider["api_keys"]) == ("AIza-9d8c7b", ["AIza-9d8c7b", "AIza-0a1b2c"])


def test_report_for_people_is_on_standard_error(alice: Person) -> None:
    outcome = import_bot("0.10", alice.tenant)

    assert outcome.status == 0
    assert "schema  maibot-0.12" in outcome.out
    assert "repaired: bot_overrides.qq_account: was a number, and is now a text" in outcome.err
    assert "unknown, kept: persona.personality_core" in outcome.err
    assert "sk-5f1b2c3d4e" not in outcome.out + outcome.err


def test_dry_run_shows_config_and_changes_and_writes_nothing(alice: Person) -> None:
    before = tables()

    outcome = import_bot("0.12", alice.tenant, "--dry-run")

    assert tables() == before
    assert outcome.status == 0
    assert '"nickname": "十二"' in outcome.out
    assert "/bot_overrides/nickname" in outcome.out
    assert "sk-5f1b2c3d4e" not in outcome.out
    assert json.loads(import_bot("0.12", alice.tenant, "--dry-run", "--json").out)["preview"]["changes"]


class TestFolder:
    def test_all_bots_of_a_folder_are_imported_by_one_command(self, alice: Person) -> None:
        outcome = agents("import", BOTS, "--tenant", alice.tenant.id)

        assert outcome.status == 0, outcome.err
        assert sorted(Agent.unscoped.values_list("name", flat=True)) == NAMES
        assert outcome.out.splitlines()[0].split() == [
            "NAME", "AGENT", "SCHEMA", "REPAIRED", "LEFT", "OUT", "UNKNOWN", "WARNINGS",
        ]  # fmt: skip
        assert len(outcome.out.splitlines()) == len(NAMES) + 1

    def test_what_is_refused_leaves_the_others_alone(self, alice: Person, tmp_path: Path) -> None:
        for name in ("good", "bad", "nothing"):
            (tmp_path / name / "config").mkdir(parents=True)
        shutil.copy(BOTS / "0.12" / FILES["bot"], tmp_path / "good/config")
        (tmp_path / "bad" / FILES["bot"]).write_bytes('[bot]\nnickname = "麦麦"'.encode("gbk"))

        outcome = agents("import", tmp_path, "--tenant", alice.tenant.id)

        assert outcome.status == ExitCode.REFUSED
        assert outcome.err == "bad: refused: bot_config.toml: this file is in GBK; save it as UTF-8\n"
        assert list(Agent.unscoped.values_list("name", flat=True)) == ["good"]

    def test_folder_without_bots_is_refused(self, alice: Person, tmp_path: Path) -> None:
        outcome = agents("import", tmp_path, "--tenant", alice.tenant.id)

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert outcome.err.endswith("no folder in it has a bot_config.toml or a model_config.toml")


class TestEncodings:
    @pytest.mark.parametrize(
        ("raw", "sentence"),
        [
            ('[bot]\nnickname = "麦麦"'.encode("gbk"), "this file is in GBK; save it as UTF-8"),
            ('[bot]\nnickname = "麦麦"'.encode("utf-16"), "this file is in UTF-16; save it as UTF-8"),
            ('[bot]\nnickname = "麦麦"'.encode("utf-16-le"), "this file is in UTF-16; save it as UTF-8"),
            (b'[bot]\nnickname = "\xff"', "not UTF-8 at byte 18"),
            (b"[bot\n", "not TOML: Expected ']' at the end of a table declaration (at line 1, column 5)"),
            (b"a = 0x" + b"f" * 9000, "not TOML: Exceeds the limit (4300 digits) for integer string conversion"),
            (b"a." * 16 + b"b = 1", "a key may have at most 16 parts"),
            (b"a = " + b"[" * 3000, "not TOML: maximum recursion depth exceeded"),
            (b"#" * 131_073, "may have at most 131072 characters"),
        ],
    )
    def test_file_that_cannot_be_read_is_refused_in_a_sentence(
        self, alice: Person, tmp_path: Path, raw: bytes, sentence: str
    ) -> None:
        file = tmp_path / "bot_config.toml"
        file.write_bytes(raw)

        outcome = agents("import", "--bot", file, "--tenant", alice.tenant.id, "--name", "bot")

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert outcome.err.startswith(f"--bot: {sentence}")


class TestOptions:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ([], "Name one exported FILE"),
            ([BOTS, "--bot", "x"], "Name one exported FILE"),
            (["--bot", "x"], "--name: a bot's own files do not name the agent"),
            ([BOTS, "--name", "x"], "--name: the agents are named like the folders in DIR"),
        ],
    )
    def test_options_that_do_not_go_together(self, alice: Person, arguments: list[Any], sentence: str) -> None:
        outcome = agents("import", *arguments, "--tenant", alice.tenant.id)

        assert outcome.status == ExitCode.USAGE
        assert outcome.err.startswith(sentence)

    def test_missing_file_is_named(self, alice: Person) -> None:
        outcome = agents("import", "--bot", "/nowhere.toml", "--tenant", alice.tenant.id, "--name", "bot")

        assert outcome == Outcome(ExitCode.REFUSED, "", "/nowhere.toml: No such file or directory")


class TestExport:
    def test_files_have_comments_and_no_secret_unless_told(self, alice: Person, tmp_path: Path) -> None:
        import_bot("0.12", alice.tenant)

        assert agents("export", "0.12", "--as", "maibot", tmp_path) == Outcome(0, "", "")

        bot, model = ((tmp_path / file).read_text() for file in FILES.values())
        assert '# The name that the bot goes by.\nnickname = "十二"' in bot
        assert "api_key" not in model
        assert not AuditEntry.objects.filter(action="agent.reveal_secrets").exists()

        agents("export", "0.12", "--as", "maibot", tmp_path, "--reveal-secrets")
        assert 'api_key = "sk-5f1b2c3d4e"' in (tmp_path / FILES["model"]).read_text()
        assert (tmp_path / FILES["model"]).stat().st_mode & 0o777 == 0o600
        assert AuditEntry.objects.filter(action="agent.reveal_secrets").count() == 1

    def test_effective_files_have_all_layers(self, alice: Person, tmp_path: Path) -> None:
        import_bot("bot-only", alice.tenant)

        agents("export", "bot-only", "--as", "maibot", tmp_path / "new", "--effective")

        bot = tomllib.loads((tmp_path / "new" / FILES["bot"]).read_text())
        assert (bot["bot"]["nickname"], bot["chat"]["max_context_size"]) == ("独行", 30)
        assert tomllib.loads((tmp_path / "new" / FILES["model"]).read_text())["models"]

    def test_comments_and_version_are_those_of_the_schema(self, alice: Person, tmp_path: Path) -> None:
        import_bot("fork", alice.tenant)

        agents("export", "fork", "--as", "maibot", tmp_path, "--schema", "maibot-1.2")

        assert tomllib.loads((tmp_path / FILES["bot"]).read_text())["inner"] == {"version": "8.15.0"}

    def test_another_form_is_refused(self, alice: Person, tmp_path: Path) -> None:
        import_bot("fork", alice.tenant)

        outcome = agents("export", "fork", "--as", "yaml", tmp_path)

        assert (outcome.status, outcome.err) == (ExitCode.USAGE, "--as: 'yaml' is no form of files; take maibot")
