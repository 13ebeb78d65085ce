from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from agent_config.patches import Patch
from agents import transfer_files
from agents.management.lookup import Lookup
from agents.models import Agent
from agents.serializers.transfer import FORMATS, InternalAgentImportResponse
from agents.services import config_versions, transfer
from core.actor import Actor, command_actor
from core.commands.exit_codes import EXPECTED_ERRORS, ExitCode, command_error
from core.commands.formatting import format_json, format_record, format_table
from core.commands.options import add_json
from core.commands.subcommands import Options, SubcommandsCommand

EXIT_CODES = (
    "Exit status: 0, it is done, or there is no difference; 1, a rule or the input forbids it, and nothing has "
    "changed; 2, the command line is wrong; 3, what was named does not exist or is ambiguous, and nothing has changed; "
    "4, what was compared differs; 5, the database does not answer."
)
# The options that set the API's fields; errors name them in place of the fields.
OPTIONS = {"name": "--name", "format": "--format"}
STREAM = "-"


class Command(SubcommandsCommand):
    """Export, import and comparison of agents, through the services that the API calls."""

    help = "Exports, imports and compares agents. Agents and tenants go by their id or their name."
    exit_codes = EXIT_CODES
    actor: Actor
    lookup: Lookup

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        out = add("export", self.export, "Writes an agent as a file, which has neither keys nor limits")
        _add_agent(out)
        _add_format(out)
        out.add_argument("--reveal-secrets", action="store_true", help="with the secrets; the audit log tells of it")
        out.add_argument("--output", metavar="FILE", default=STREAM, help="by default standard output")

        into = add("import", self.import_, "Makes an agent from such a file")
        into.add_argument("file", metavar="FILE", help="- is standard input")
        into.add_argument("--tenant", required=True, metavar="TENANT", help="id or name")
        into.add_argument("--name", help="in place of the file's")
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

    def handle(self, *args: Any, **options: Any) -> None:
        self.actor = command_actor(f"agents {options['subcommand']}")
        self.lookup = Lookup(self.actor)
        try:
            options["handler"](options)
        except EXPECTED_ERRORS as error:
            raise command_error(error, {**OPTIONS, "file": _file_name(options)}) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error

    # ---- the subcommands

    def export(self, options: Options) -> None:
        agent, output = self.lookup.agent(options["agent"]), options["output"]
        is_private = options["reveal_secrets"]
        found = (
            transfer.export_with_secrets(actor=self.actor, agent=agent) if is_private else transfer.export_agent(agent)
        )
        text = transfer_files.dumps(found, _form(output, options))
        if output == STREAM:
            self.stdout.write(text, ending="")
        else:
            _write(text, output, is_private=is_private)

    def import_(self, options: Options) -> None:
        tenant = self.lookup.tenant(options["tenant"])
        found = _read(options["file"], options, **({} if options["name"] is None else {"name": options["name"]}))
        del found["maim_export"]
        found["strict"] = options["strict"]
        agent = None
        if options["dry_run"]:
            warnings = transfer.check_import(actor=self.actor, tenant=tenant, **found)
        else:
            agent = transfer.import_agent(actor=self.actor, tenant=tenant, **found)
            warnings = agent.config_warnings
        if options["json"]:
            answer = {"dry_run": options["dry_run"], "agent": agent, "config_warnings": warnings}
            self.stdout.write(format_json(InternalAgentImportResponse(answer).data))
        elif agent is None:
            self.stdout.write("Nothing is wrong with it; nothing was imported")
        else:
            self.stdout.write(format_record([("id", agent.id), ("name", agent.name), ("tenant", tenant)]))
        for warning in () if options["json"] else warnings:
            self.stderr.write(f"warning: {warning.path}: {warning.message}")

    def diff(self, options: Options) -> None:
        agent = self.lookup.agent(options["agent"])
        first, second, changes = self._compare(agent, options)
        if options["json"]:
            told = {"agent_id": agent.id, "from": first, "to": second, "changes": changes}
            self.stdout.write(format_json(told))
        elif changes:
            self.stdout.write(format_table(["CHANGE", "WHERE", "TO"], [_row(change) for change in changes]))
        if changes:
            sys.exit(ExitCode.NO)

    # ---- shared steps

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


def _write(text: str, file: str, *, is_private: bool) -> None:
    """Write the text to a file. Make it unreadable for other users of the machine if it is private."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if is_private else 0o666)
    with open(descriptor, "w", encoding="utf-8") as opened:
        if is_private:
            os.fchmod(descriptor, 0o600)
        opened.write(text)


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _row(change: dict[str, Any]) -> list[str]:
    value = change.get("from", json.dumps(change["value"], ensure_ascii=False) if "value" in change else None)
    return [change["op"], change["path"] or "/", value]
