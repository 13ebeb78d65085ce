from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connection

from core.audit_chain.chainer import CannotChain, Chainer
from core.commands.base import MaimCommand
from core.commands.exit_codes import EXPECTED_ERRORS, command_error
from core.commands.formatting import format_json, format_table
from core.commands.options import add_json, integer_between
from core.commands.output import Output, progress
from dashboard import gauges
from demo import filling, samples, storage
from demo.filling import Filled
from demo.samples import SampleKey, SignIn

EXIT_CODES = (
    "Exit status: 0, it is done; 1, the database is not empty, or nobody said yes, and nothing has changed, or it was "
    "interrupted; 2, the command line is wrong; 5, the database does not answer."
)
MAX_KEYS = 5_000_000


class Command(MaimCommand):
    out: Output

    help = "Fills an empty database with made-up tenants, people, agents and keys, and a history of their use."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=EXIT_CODES, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--keys",
            type=integer_between(100, MAX_KEYS),
            default=2000,
            metavar="N",
            help="how many API keys (2000), with a tenth as many agents and a hundredth as many tenants",
        )
        parser.add_argument(
            "--seed", type=integer_between(0, 2**31), default=1, help="another number makes other names and numbers (1)"
        )
        parser.add_argument("--clean", action="store_true", help="delete what an interrupted run has left, and no more")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self.out = Output(self.stdout, self.stderr, has_colors=not options["no_color"])
        try:
            if options["clean"]:
                self._clean(options)
            else:
                self._fill(options)
        except CannotChain as error:
            raise CommandError(str(error)) from error
        except EXPECTED_ERRORS as error:
            raise command_error(error) from error

    def _clean(self, options: dict[str, Any]) -> None:
        if not options["yes"]:
            self.out.confirm("Delete everything in this database, also what was added since the interrupted run?")
        storage.clean()
        self.stdout.write(format_json({"cleaned": True}) if options["json"] else "The database is empty again.")

    def _fill(self, options: dict[str, Any]) -> None:
        storage.check_empty()
        question = f"Fill {connection.settings_dict['NAME']} with {options['keys']:,} made-up keys?"
        if not options["yes"]:
            self.out.confirm(f"{question} It is for trying maim out, not for a database that real people use.")
        storage.begin()
        try:
            alice, password = samples.new_person("alice")
            with progress(options["keys"], "keys") as advance:
                filled = filling.fill(alice, keys=options["keys"], seed=options["seed"], progress=advance)
            sign_ins = [samples.make_operator(), SignIn("POST /api/v1/auth/login", alice.username, password)]
            keys = samples.make_keys(alice)
            Chainer().chain_all()
            gauges.measure_due()
        except KeyboardInterrupt as error:
            raise CommandError(
                "Interrupted. The rows that were written stay, without totals; manage.py demo --clean deletes them"
            ) from error
        storage.end()
        self.stdout.write(_json(filled, sign_ins, keys) if options["json"] else _text(filled, sign_ins, keys))


def _json(filled: Filled, sign_ins: Sequence[SignIn], keys: Sequence[SampleKey]) -> str:
    return format_json(
        {
            **asdict(filled),
            "rows_per_second": filled.rows_per_second,
            "sign_in": [each._asdict() for each in sign_ins],
            "api_keys": [each._asdict() for each in keys],
        }
    )


def _text(filled: Filled, sign_ins: Sequence[SignIn], keys: Sequence[SampleKey]) -> str:
    return "\n".join(
        [
            f"{filled.keys:,} keys of {filled.agents:,} agents in {filled.tenants:,} tenants, "
            f"and {filled.people:,} people:",
            f"{filled.rows:,} rows in {filled.seconds:.0f} s, {filled.rows_per_second:,.0f} a second "
            f"(bulk_create alone, of the same rows: {filled.plain_rows_per_second:,.0f}).",
            "",
            format_table(("SIGN IN AT", "USERNAME", "PASSWORD"), sign_ins),
            "",
            format_table(("KEY", "VERDICT", "SECRET"), keys),
            "",
            "Passwords and secrets are shown this once.",
        ]
    )
