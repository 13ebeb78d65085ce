"""The bot's own files on the command line: `agents import --bot … --model …`, of a folder, and `agents export --as`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agent_config.maibot.exporting import BotFiles
from agent_config.maibot.importing import ImportedFiles
from agents import maibot_files
from agents.maibot_files import FilesOfBot
from agents.serializers.transfer import InternalAgentImportResponse
from agents.transfer_files import import_document
from core.actor import Actor
from core.commands.exit_codes import EXPECTED_ERRORS, command_error
from core.commands.output import Output, progress
from core.commands.subcommands import Options
from core.db import DATABASE_ERRORS
from tenants.models import Tenant

# The options that give the files; errors name them in place of the API's fields.
OPTIONS = {"bot": "--bot", "model": "--model"}
_FILES = {"bot": maibot_files.BOT, "model": maibot_files.MODEL}


class Outcome(NamedTuple):
    """The outcome for one bot: what the API would respond, or why it is refused."""

    name: str
    files: ImportedFiles | None
    result: dict[str, Any]
    refusal: str


class BotImport:
    """Imports of bots by their files into a tenant, as the options of the command say."""

    def __init__(self, actor: Actor, tenant: Tenant, options: Options) -> None:
        self._actor, self._tenant, self._options = actor, tenant, options

    def import_one(self) -> Outcome:
        """Import the bot of `--bot` and `--model`. Raise OSError, and what the import raises."""
        files = FilesOfBot(*(_content(self._options[name]) for name in OPTIONS))
        return self._import(self._options["name"], files)

    def import_all(self, folder: Path) -> list[Outcome]:
        """Import each bot of a folder, with a progress bar on a terminal. Raise OSError."""
        return list(self._outcomes(maibot_files.find_bots(folder)))

    def show_one(self, outcome: Outcome, out: Output) -> None:
        """Write the outcome of one import, and on standard error what is not as it was in the files."""
        result, files = outcome.result, outcome.files
        assert files is not None
        if self._options["json"]:
            out.json(_response(outcome))
            return
        if result["agent"] is None:
            response = _response(outcome)
            out.text(json.dumps(response["preview"]["config"], indent=2, ensure_ascii=False))
            out.table(["CHANGE", "WHERE", "TO"], [_row(change) for change in response["preview"]["changes"]])
            out.text("Nothing was imported")
        else:
            members = [("id", result["agent"].id), ("name", outcome.name), ("tenant", self._tenant)]
            out.record([*members, ("schema", files.schema_name)])
        for kind, notes in (
            ("repaired", files.repairs),
            ("left out", files.left_out),
            ("warning", result["config_warnings"]),
        ):
            for path, message in notes:
                out.tell(f"{kind}: {path}: {message}")
        for path in files.unknown:
            out.tell(f"unknown, kept: {path}")

    def show_all(self, outcomes: Sequence[Outcome], out: Output) -> None:
        """Write a table of the imports, and on standard error why some were refused."""
        if self._options["json"]:
            out.json([{"name": each.name, **_response(each)} for each in outcomes])
            return
        header = ["NAME", "AGENT", "SCHEMA", "REPAIRED", "LEFT OUT", "UNKNOWN", "WARNINGS"]
        out.table(header, [_summary(each) for each in outcomes])
        for each in outcomes:
            if each.refusal:
                out.tell(f"{each.name}: refused: {each.refusal}")

    def _outcomes(self, bots: dict[str, FilesOfBot]) -> Iterator[Outcome]:
        with progress(len(bots), "bots") as advance:
            for name, files in bots.items():
                try:
                    yield self._import(name, files)
                except DATABASE_ERRORS:
                    raise
                except EXPECTED_ERRORS as error:
                    yield Outcome(name, None, {}, str(command_error(error, _FILES)))
                advance(1)

    def _import(self, name: str, files: FilesOfBot) -> Outcome:
        read = maibot_files.read_files(*files)
        document = {
            "name": name,
            "template_id": self._options["template"],
            "config": read.config,
            "config_schema": read.schema_name,
            "strict": self._options["strict"],
        }
        result = import_document(self._actor, self._tenant, document, dry_run=self._options["dry_run"])
        return Outcome(name, read, result, "")


def write_files(files: BotFiles, folder: Path, *, is_private: bool) -> None:
    """Write a bot's files into a folder, which is made if it is missing, readable by nobody else if `is_private`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((maibot_files.BOT, files.bot), (maibot_files.MODEL, files.model)):
        if text is not None:
            write_text(text, folder / name, is_private=is_private)


def write_text(text: str, file: Path, *, is_private: bool) -> None:
    """Write the text to a file. Make it unreadable for other users of the machine if it is private."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if is_private else 0o666)
    with open(descriptor, "w", encoding="utf-8") as opened:
        if is_private:
            os.fchmod(descriptor, 0o600)
        opened.write(text)


def _content(file: str | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()


def _response(outcome: Outcome) -> dict[str, Any]:
    """Return what the API would respond."""
    if outcome.files is None:
        return {"refused": outcome.refusal}
    return dict(InternalAgentImportResponse({**outcome.result, "report": outcome.files}).data)


def _summary(outcome: Outcome) -> list[Any]:
    files = outcome.files
    if files is None:
        return [outcome.name, "refused", "", "", "", "", ""]
    agent = outcome.result["agent"]
    notes = (files.repairs, files.left_out, files.unknown, outcome.result["config_warnings"])
    return [outcome.name, agent and agent.id, files.schema_name, *map(len, notes)]


def _row(change: dict[str, Any]) -> list[str]:
    return [change["op"], change["path"], json.dumps(change["value"], ensure_ascii=False) if "value" in change else ""]
