from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from agents.services import resealing
from agents.services.resealing import Report
from core.commands.base import MaimCommand
from core.commands.exit_codes import EXPECTED_ERRORS, ExitCode, command_error
from core.commands.options import add_json
from core.commands.output import Output

EXIT_CODES = (
    "Exit status: 0, everything is sealed under the newest key, and older keys can be dropped; 1, something is sealed "
    "under none of the configured keys, and stays as it is; 2, the command line is wrong; 4, something is in "
    "clear, or sealed under an older key; 5, the database does not answer. It can be interrupted and run again at any "
    "time, while maim serves: but first give every server the new key, as the first of MAIM_ENCRYPTION_KEYS."
)


class Command(MaimCommand):
    help = (
        "Seals every stored secret (of agents' configs, their versions, templates, tenants' configs, plugin settings, "
        "deleted objects that can be restored, and authenticator apps) "
        "under the newest of MAIM_ENCRYPTION_KEYS, also what stands in clear since before "
        "MAIM_SECRET_NAMES or maim itself called it a secret; in the audit log, that is masked."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=EXIT_CODES, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="only say how much is in clear, or sealed under an older key"
        )
        add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = resealing.check() if options["check"] else resealing.reseal()
        except EXPECTED_ERRORS as error:
            raise command_error(error) from error
        out = Output(self.stdout, self.stderr, has_colors=not options["no_color"])
        if options["json"]:
            out.json(_document(report))
        else:
            out.table(["KIND", "ROWS", "RESEALED", "LEFT"], _rows(report))
            for lost in report.lost:
                out.tell(f"no configured key opens {lost.kind} {lost.row}: {lost.path}")
        if report.lost:
            sys.exit(ExitCode.REFUSED)
        if report.left:
            sys.exit(ExitCode.NO)


def _document(report: Report) -> dict[str, Any]:
    kinds = {
        kind: {"rows": rows, "resealed": report.resealed[kind], "left": report.left[kind]}
        for kind, rows in report.rows.items()
    }
    return {"kinds": kinds, "lost": [lost._asdict() for lost in report.lost]}


def _rows(report: Report) -> list[list[Any]]:
    return [[kind, rows, report.resealed[kind], report.left[kind]] for kind, rows in report.rows.items()]
