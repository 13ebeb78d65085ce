from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core import approvals
from core.commands.base import MaimCommand
from core.commands.exit_codes import EXPECTED_ERRORS, command_error


class Command(MaimCommand):
    help = (
        "Says whether a change is answered as soon as all workers have approved, or turns that on or off. Turn it on "
        "when no process of a version without approvals runs any more, and off before one is started again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("state", nargs="?", choices=("on", "off"))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["state"] is not None:
                approvals.use(options["state"] == "on")
            self.stdout.write("on" if approvals.are_used() else "off")
        except EXPECTED_ERRORS as error:
            raise command_error(error) from error
