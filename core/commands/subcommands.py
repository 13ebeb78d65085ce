"""Commands that have subcommands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandParser

Options = dict[str, Any]
Add = Callable[[str, Callable[[Options], None], str], CommandParser]


class SubcommandsCommand(BaseCommand):
    """A command whose subcommands are methods; which one it is to be is in the options, as `act`."""

    # What the exit statuses mean, at the end of every help.
    meanings: ClassVar[str]

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=self.meanings, **kwargs)

    def adding(self, parser: CommandParser) -> Add:
        """What adds a subcommand, by name, method, and what it does."""
        subcommands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")

        def add(name: str, act: Callable[[Options], None], does: str) -> CommandParser:
            added: CommandParser = subcommands.add_parser(name, help=does, description=f"{does}.", epilog=self.meanings)
            added.set_defaults(act=act)
            return added

        return add
