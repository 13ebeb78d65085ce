from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from core.commands.options import add_json
from core.commands.output import Output
from maim.doctor.examination import examine
from maim.doctor.findings import Level, document, exit_code

EXIT_CODES = "Exit status: 0, nothing is wrong; 1, there are problems; 2, the command line is wrong; 4, only warnings."


class Command(BaseCommand):
    help = (
        "Checks the configuration, database, Redis, mail, migrations, clock, disk, ports and files, and says what to "
        "do. It changes nothing, and shows no secret."
    )
    requires_system_checks = ()  # they are among the findings

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=EXIT_CODES, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(examine())
        out = Output(self.stdout, self.stderr, has_colors=not options["no_color"])
        if options["json"]:
            out.json(document(findings))
        else:
            rows = [[finding.level.name.lower(), finding.check, finding.found] for finding in findings]
            out.table(["LEVEL", "CHECK", "FOUND"], rows)
            for finding in findings:
                if finding.level > Level.OK:
                    advice = f"\n  {finding.advice}" if finding.advice else ""
                    out.text(f"\n{finding.check}: {finding.found}{advice}")
        if code := exit_code(findings):
            sys.exit(code)
