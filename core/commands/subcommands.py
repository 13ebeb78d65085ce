"""A base class for commands with subcommands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandParser

Options = dict[str, Any]
AddSubcommand = Callable[[str, Callable[[Options], None], str], CommandParser]


class SubcommandsCommand(BaseCommand):
    """A command whose subcommands are methods. The chosen one is the option `handler`."""

    # The text about exit codes at the end of every help.
    exit_codes: ClassVar[str]

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=self.exit_codes, **kwargs)

    def subcommand_adder(self, parser: CommandParser) -> AddSubcommand:
        """Return a function that adds a subcommand by its name, method and description."""
        subcommands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")

        def add(name: str, handler: Callable[[Options], None], description: str) -> CommandParser:
            subparser: CommandParser = subcommands.add_parser(
                name, help=description, description=f"{description}.", epilog=self.exit_codes
            )
            subparser.set_defaults(handler=handler)
            return subparser

        return add
