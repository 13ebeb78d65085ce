from __future__ import annotations

import os
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from core import approvals
from core.actor import Actor, command_actor
from core.commands.base import MaimCommand
from core.commands.exit_codes import EXPECTED_ERRORS, ExitCode, command_error
from core.commands.files import SecretFile
from core.commands.formatting import format_json
from core.commands.options import add_json
from core.commands.output import Output
from core.commands.subcommands import Options
from core.errors import DomainError
from provisioning import declaration, execution
from provisioning.changes import Sign
from provisioning.declaration import Declaration
from provisioning.management.formatting import plan_document, plan_lines, problem_line, problems_text
from provisioning.planning import make_plan
from provisioning.plans import Plan
from provisioning.secret_sinks import SecretCommand, SecretFileSink, SecretSink
from provisioning.yaml_file import MAX_BYTES, InvalidFile

EXIT_CODES = (
    "Exit status: 0, the database is as the file has it; 1, the file or a rule forbids it, or nobody said yes, and "
    "nothing has changed; 2, the command line is wrong; 4, with --check: the database differs from the file; 5, the "
    "database does not answer. See docs/apply.md."
)
STREAM = "-"


class Command(MaimCommand):
    out: Output

    help = "Makes tenants, members, agents and keys what a YAML file says: shows the changes, asks, and makes them."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=EXIT_CODES, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-f", "--file", required=True, help="the YAML file; - is standard input")
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument("--yes", action="store_true", help="do not ask")
        mode.add_argument(
            "--dry-run", action="store_true", help="show the changes, try them by every rule, and take them back"
        )
        mode.add_argument(
            "--check", action="store_true", help="only say whether the database differs from the file (exit status 4)"
        )
        parser.add_argument(
            "--prune",
            action="store_true",
            help="in tenants that the file names, remove the members, agents and keys that its lists do not name",
        )
        sink = parser.add_mutually_exclusive_group()
        sink.add_argument("--secrets-file", metavar="FILE", help="write the secrets of new keys to this new file")
        sink.add_argument(
            "--secrets-to", metavar="COMMAND", help="give the secrets of new keys to this command's standard input"
        )
        add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self.out = Output(self.stdout, self.stderr, has_colors=not options["no_color"])
        try:
            self._run(command_actor("apply"), options)
        except InvalidFile as error:
            raise CommandError(problems_text(error.problems, _name(options["file"]))) from error
        except BrokenPipeError:  # nobody reads the output any more (manage.py)
            raise
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error
        except EXPECTED_ERRORS as error:
            raise command_error(error) from error

    def _run(self, actor: Actor, options: Options) -> None:
        declared = declaration.read(_read(options["file"]), os.environ)
        only_looks = options["check"] or options["dry_run"]
        with nullcontext() if only_looks else approvals.wait_before(InvalidFile, DomainError):
            self._apply(declared, actor, options)

    def _apply(self, declared: Declaration, actor: Actor, options: Options) -> None:
        is_issuing = options["secrets_file"] is not None or options["secrets_to"] is not None
        plan = make_plan(declared, actor=actor, prune=options["prune"], issue=is_issuing)
        if not options["check"] and not options["dry_run"]:
            approvals.wait_for_changes_of_others()  # what matches the file may have been changed a moment ago
        if not options["json"]:
            self._show(plan, options["file"])
        if plan.changes and not options["check"]:
            self._carry_out(plan, actor, options)
        if options["json"]:
            self._write_document(plan, options)
        if options["check"] and plan.changes:
            sys.exit(ExitCode.NO)

    def _show(self, plan: Plan, file: str) -> None:
        for line in plan_lines(plan, _name(file), self.style):
            self.stdout.write(line)

    def _carry_out(self, plan: Plan, actor: Actor, options: Options) -> None:
        parts = execution.transactions_of(plan)
        if len(parts) > 1:
            self.out.tell(
                f"These are more than {execution.MAX_CHANGES} changes, so each tenant is changed in a transaction of "
                "its own. After an error those before it stay changed; run it again."
            )
        if options["dry_run"]:
            for part in parts:
                execution.rehearse(plan, part, actor=actor)
            return
        if parts and not options["yes"]:
            self._confirm(plan, options)
        with ExitStack() as stack:
            sink = _sink(plan, options, stack)
            for part in parts:
                execution.carry_out(plan, part, actor=actor, sink=sink)
        if parts and not options["json"]:
            self.stdout.write("Done.")

    def _confirm(self, plan: Plan, options: Options) -> None:
        """Ask at the terminal. Raise CommandError unless the answer is yes."""
        if options["file"] == STREAM:
            raise CommandError(
                "Standard input is the file, so nobody can be asked: say so with --yes; nothing has changed"
            )
        if options["json"]:
            for line in plan_lines(plan, _name(options["file"]), self.style):
                self.out.tell(line)
        self.out.confirm("Change this?")

    def _write_document(self, plan: Plan, options: Options) -> None:
        document = {
            "changes": plan_document(plan),
            "applied": not options["check"] and not options["dry_run"],
            "warnings": [problem_line(warning, _name(options["file"])) for warning in plan.warnings],
        }
        self.stdout.write(format_json(document))


def _read(file: str) -> bytes:
    """Return the content of a file, or as much of it as shows that it is too large."""
    if file == STREAM:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(file).open("rb") as opened:
        return opened.read(MAX_BYTES + 1)


def _name(file: str) -> str:
    return "standard input" if file == STREAM else file


def _sink(plan: Plan, options: Options, stack: ExitStack) -> SecretSink | None:
    """Return where the secrets of new keys go; None where there are none. Raise CommandError."""
    if not any(change.kind == "key" and change.sign == Sign.ADD for change in plan.changes):
        return None
    path = options["secrets_file"]
    if path is not None:
        try:
            return SecretFileSink(stack.enter_context(SecretFile(path)), path)
        except FileExistsError as error:
            raise CommandError(
                f"{path} exists already; the secrets go to a new file, and nothing was changed"
            ) from error
    try:
        return SecretCommand(options["secrets_to"])
    except ValueError as error:
        raise CommandError(f"--secrets-to: not a command: {error}", returncode=ExitCode.USAGE) from error
