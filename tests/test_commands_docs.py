"""docs/commands.md, whose table has every subcommand and option, and whose examples run."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from core.commands.exit_codes import ExitCode
from tests.support.commands import run
from tests.support.server import ROOT

pytestmark = pytest.mark.embedded

PAGE = (ROOT / "docs/commands.md").read_text()
COMMANDS = ("tenants", "users", "agents", "keys", "audit", "usage", "invitations", "doctor")
_ROW = re.compile(r"^\| `([a-z][^`]*)` \| .+ \| (.*) \|$", re.MULTILINE)
_EXAMPLE = re.compile(r"^manage\.py (.+)$", re.MULTILINE)
# Of every command of Django's.
_SHARED = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color",
           "--force-color", "--skip-checks"}  # fmt: skip


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield each subcommand with its parser, and commands without subcommands."""
    for name in COMMANDS:
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        subcommands = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        if not subcommands:
            yield name, parser
        for action in subcommands:
            yield from ((f"{name} {subcommand}", each) for subcommand, each in action.choices.items())


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {text for action in parser._actions for text in action.option_strings if text.startswith("--")} - _SHARED


def test_table_has_every_subcommand_with_its_options() -> None:
    documented = {
        " ".join(word for word in command.split() if word.islower()): set(re.findall(r"`(--[a-z-]+)`", options))
        for command, options in _ROW.findall(PAGE)
    }

    assert documented == {name: options_of(parser) for name, parser in parsers()}


def test_every_help_has_sentences_and_exit_codes() -> None:
    for name, parser in parsers():
        text = parser.format_help()
        assert "Exit status: 0" in text, name
        assert parser.description, name
        assert parser.description.endswith("."), name
        for action in parser._actions:
            if action.option_strings and action.help is None:
                assert action.choices or action.metavar, f"{name} {action.option_strings}"


def test_exit_codes_are_the_documented_ones() -> None:
    table = PAGE.partition("\n| exit status | meaning |\n")[2].partition("\n\n")[0]

    assert [int(status) for status in re.findall(r"^\| (\d) \|", table, re.MULTILINE)] == [0, *ExitCode]


@pytest.mark.django_db
def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order: what one makes, the next ones use."""
    monkeypatch.chdir(tmp_path)
    examples = [shlex.split(line) for line in _EXAMPLE.findall(PAGE) if not line.startswith("doctor")]
    assert len(examples) >= 15

    for command, *arguments in examples:
        outcome = run(command, *arguments)
        assert outcome.status == 0, (command, arguments, outcome)
    assert {path.name for path in tmp_path.iterdir()} == {"acme.key", "new.key", "acme.jsonl"}
