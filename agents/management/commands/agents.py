from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from agent_config import schema
from agent_config.patches import Patch
from agents import effective_config, maibot_files, transfer_files
from agents.management.lookup import AgentLookup
from agents.management.maibot import OPTIONS as FILE_OPTIONS
from agents.management.maibot import BotImport, write_files, write_text
from agents.management.rows import OPTIONS as ROW_OPTIONS
from agents.management.rows import AgentRows
from agents.models import Agent
from agents.serializers.transfer import FORMATS, MAIBOT, InternalAgentImportResponse
from agents.services import config_versions, transfer
from agents.transfer_files import import_document
from core.commands.exit_codes import ExitCode
from core.commands.options import add_json
from core.commands.subcommands import Options, SubcommandsCommand
from tenants.models import Tenant

EXIT_CODES = (
    "Exit status: 0, it is done, or there is no difference; 1, a rule or the input forbids it, and nothing has "
    "changed; 2, the command line is wrong; 3, what was named does not exist or is ambiguous, and nothing has changed; "
    "4, what was compared differs; 5, the database does not answer."
)
# The options that set the API's fields; errors name them in place of the fields.
OPTIONS = {"name": "--name", "format": "--format", **FILE_OPTIONS, **ROW_OPTIONS}
STREAM = "-"


class Command(SubcommandsCommand):
    """Management of agents, and their export, import and comparison, through the services that the API calls."""

    help = (
        "Finds, creates, changes, deletes, exports, imports and compares agents. Agents and tenants go by their id or "
        "their name."
    )
    exit_codes = EXIT_CODES
    option_names = OPTIONS
    lookup: AgentLookup

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        AgentRows(self).add_to(add)
        out = add("export", self.export, "Writes an agent as a file, which has neither keys nor limits")
        _add_agent(out)
        _add_format(out)
        out.add_argument("--reveal-secrets", action="store_true", help="with the secrets; the audit log tells of it")
        out.add_argument("--output", metavar="FILE", default=STREAM, help="by default standard output")
        out.add_argument(
            "--as",
            nargs=2,
            metavar=("maibot", "DIR"),
            dest="as_files",
            help="write bot_config.toml and model_config.toml, which the bot itself reads, into DIR",
        )
        out.add_argument("--effective", action="store_true", help="with --as: the config of all layers")
        out.add_argument("--schema", choices=schema.NAMES, help="with --as: by default the agent's")

        into = add(
            "import", self.import_, "Makes an agent from such a file, or from a bot's own; or one for each bot in a DIR"
        )
        into.add_argument("file", metavar="FILE | DIR", nargs="?", help="- is standard input")
        into.add_argument("--bot", metavar="FILE", help="the bot's bot_config.toml")
        into.add_argument("--model", metavar="FILE", help="the bot's model_config.toml")
        into.add_argument("--template", metavar="ID", help="the template that the agent is based on")
        into.add_argument("--tenant", required=True, metavar="TENANT", help="id or name")
        into.add_argument("--name", help="in place of the file's; required with --bot and --model")
        into.add_argument("--dry-run", action="store_true", help="only say whether it would work")
        into.add_argument(
            "--strict", action="store_true", help="refuse what looks odd in the config, and warn of nothing"
        )
        _add_format(into)
        add_json(into)

        diff = add(
            "diff",
            self.diff,
            "Compares two versions of an agent's config, or the agent with a file, and shows no secret. Without a "
            "version it tells the last change, with one what has changed since; a file's secrets count if it has any",
        )
        _add_agent(diff)
        diff.add_argument("what", nargs="*", metavar="FROM [TO] | FILE", help="a whole number is a version")
        _add_format(diff)
        add_json(diff)

    def prepare(self) -> None:
        self.lookup = AgentLookup(self.actor)

    def given_names(self, options: Options) -> Mapping[str, str]:
        name = {"name": "NAME"} if options["subcommand"] == "create" else {}
        return {"file": _file_name(options), **name}

    # ---- the subcommands

    def export(self, options: Options) -> None:
        agent, output = self.lookup.agent(options["agent"]), options["output"]
        is_private = options["reveal_secrets"]
        if options["as_files"] is not None:
            self._export_files(agent, options)
            return
        found = (
            transfer.export_with_secrets(actor=self.actor, agent=agent) if is_private else transfer.export_agent(agent)
        )
        text = transfer_files.dumps(found, _form(output, options))
        if output == STREAM:
            self.out.text(text, ending="")
        else:
            write_text(text, Path(output), is_private=is_private)

    def import_(self, options: Options) -> None:
        _check_import_options(options)
        tenant = self.lookup.tenant(options["tenant"])
        if options["bot"] or options["model"]:
            importer = BotImport(self.actor, tenant, options)
            importer.show_one(importer.import_one(), self.out)
        elif options["file"] != STREAM and Path(options["file"]).is_dir():
            self._import_folder(BotImport(self.actor, tenant, options), Path(options["file"]))
        else:
            self._import_file(tenant, options)

    def _import_folder(self, importer: BotImport, folder: Path) -> None:
        outcomes = importer.import_all(folder)
        if not outcomes:
            raise CommandError(f"{folder}: no folder in it has a bot_config.toml or a model_config.toml")
        importer.show_all(outcomes, self.out)
        if any(outcome.refusal for outcome in outcomes):
            sys.exit(ExitCode.REFUSED)

    def _import_file(self, tenant: Tenant, options: Options) -> None:
        found = _read(options["file"], options, **({} if options["name"] is None else {"name": options["name"]}))
        del found["maim_export"]
        found["strict"] = options["strict"]
        if options["template"] is not None:
            found["template_id"] = options["template"]
        result = import_document(self.actor, tenant, found, dry_run=options["dry_run"])
        agent, warnings = result["agent"], result["config_warnings"]
        if options["json"]:
            self.out.json(InternalAgentImportResponse({**result, "report": None}).data)
        elif agent is None:
            self.out.text("Nothing is wrong with it; nothing was imported")
        else:
            self.out.record([("id", agent.id), ("name", agent.name), ("tenant", tenant)])
        for warning in () if options["json"] else warnings:
            self.out.tell(f"warning: {warning.path}: {warning.message}")

    def diff(self, options: Options) -> None:
        agent = self.lookup.agent(options["agent"])
        first, second, changes = self._compare(agent, options)
        if options["json"]:
            told = {"agent_id": agent.id, "from": first, "to": second, "changes": changes}
            self.out.json(told)
        elif changes:
            self.out.table(["CHANGE", "WHERE", "TO"], [_row(change) for change in changes])
        if changes:
            sys.exit(ExitCode.NO)

    # ---- shared steps

    def _export_files(self, agent: Agent, options: Options) -> None:
        form, folder = options["as_files"]
        if form != MAIBOT:
            raise CommandError(f"--as: {form!r} is no form of files; take {MAIBOT}", returncode=ExitCode.USAGE)
        has_secrets = options["reveal_secrets"]
        files = maibot_files.export_agent(
            agent,
            actor=self.actor,
            schema_name=options["schema"] or effective_config.get_state(agent.id).schema_name,
            is_effective=options["effective"],
            has_secrets=has_secrets,
        )
        write_files(files, Path(folder), is_private=has_secrets)

    def _compare(self, agent: Agent, options: Options) -> tuple[int, int | str, Patch]:
        """Return the two things that are compared, and the patch from one to the other."""
        what: list[str] = options["what"]
        current = agent.config_version
        if len(what) == 1 and not _is_version(what[0]):
            return current, what[0], transfer.diff_with_file(agent, _read(what[0], options))
        if len(what) > 2 or not all(map(_is_version, what)):
            raise CommandError("Name at most two versions, or one file", returncode=ExitCode.USAGE)
        versions = [int(number) for number in what]
        first = versions[0] if versions else max(current - 1, 1)
        second = versions[1] if len(versions) > 1 else current
        return first, second, config_versions.diff(agent, first, second)


def _add_agent(parser: CommandParser) -> None:
    parser.add_argument("agent", metavar="AGENT", help="id, name, or TENANT/AGENT")


def _add_format(parser: CommandParser) -> None:
    parser.add_argument("--format", choices=FORMATS, help="by default what the file's name says, or else json")


def _form(file: str, options: Options) -> str:
    named: str | None = options["format"]
    return named or next((form for form in FORMATS if file.endswith(f".{form}")), FORMATS[0])


def _file_name(options: Options) -> str:
    """Return the name of the file that a subcommand reads, for messages."""
    files = [options["file"]] if "file" in options else options.get("what", [])
    return files[0] if files and files[0] != STREAM else "standard input"


def _read(file: str, options: Options, **instead: Any) -> dict[str, Any]:
    raw = sys.stdin.buffer.read() if file == STREAM else Path(file).read_bytes()
    return transfer_files.loads(raw, _form(file, options), **instead)


def _check_import_options(options: Options) -> None:
    """Raise CommandError for options that do not go together."""
    has_files = options["bot"] is not None or options["model"] is not None
    if has_files == (options["file"] is not None):
        sentence = "Name one exported FILE, a DIR of bots, or the bot's own files with --bot and --model"
    elif has_files and options["name"] is None:
        sentence = "--name: a bot's own files do not name the agent"
    elif options["name"] is not None and not has_files and Path(options["file"]).is_dir():
        sentence = "--name: the agents are named like the folders in DIR"
    else:
        return
    raise CommandError(sentence, returncode=ExitCode.USAGE)


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _row(change: dict[str, Any]) -> list[str]:
    value = change.get("from", json.dumps(change["value"], ensure_ascii=False) if "value" in change else None)
    return [change["op"], change["path"] or "/", value]
