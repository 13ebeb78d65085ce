from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from core.audit_chain import checkpoints, verification
from core.audit_chain.chainer import CannotChain, Chainer
from core.audit_chain.checkpoints import InvalidCheckpoint
from core.audit_chain.findings import Report
from core.commands.exit_codes import EXPECTED_ERRORS, ExitCode, command_error
from core.commands.formatting import format_json, format_record, format_table
from core.commands.options import add_json
from core.commands.subcommands import Options, SubcommandsCommand

EXIT_CODES = (
    "Exit status: 0, the audit log is as it was written, or the checkpoint is made; 1, a checkpoint cannot be read or "
    "made; 2, the command line is wrong; 4, something is wrong with the audit log; 5, the database does not answer."
)


class Command(SubcommandsCommand):
    help = "Verifies that nobody has tampered with the audit log."
    exit_codes = EXIT_CODES

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        verify = add("verify", self.verify, "Reads the whole audit log, and names what was edited, removed or inserted")
        verify.add_argument(
            "--checkpoint",
            metavar="FILE",
            help="also compare with this checkpoint, which shows whether the end is cut off",
        )
        add_json(verify)
        checkpoint = add(
            "checkpoint", self.checkpoint, "Writes the end of the audit log as JSON, to be kept on another machine"
        )
        checkpoint.add_argument("--output", metavar="FILE", help="write it to this file in place of standard output")
        checkpoint.add_argument(
            "--mail", metavar="ADDRESS", action="append", default=[], help="also mail it to this address"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            options["handler"](options)
        except EXPECTED_ERRORS as error:
            raise command_error(error) from error

    def verify(self, options: Options) -> None:
        checkpoint = None if options["checkpoint"] is None else _read(Path(options["checkpoint"]))
        with tqdm(total=verification.size(), unit=" entries", disable=None) as bar:
            report = verification.verify(bar.update)
        if checkpoint is not None:
            _compare(checkpoint, report, options["checkpoint"])
        self.stdout.write(format_json(_document(report)) if options["json"] else _text(report))
        if report.findings:
            sys.exit(ExitCode.NO)  # the answer is no, which is not an error

    def checkpoint(self, options: Options) -> None:
        if options["mail"] and not settings.MAIL_IS_SET_UP:
            raise CommandError("No mail can be sent: set MAIM_EMAIL_URL")
        try:
            Chainer().chain_all()
        except CannotChain as error:
            raise CommandError(str(error)) from error
        checkpoint = checkpoints.latest()
        if checkpoint is None:
            raise CommandError("The audit log is empty")
        self._write(format_json(checkpoint), options)

    def _write(self, text: str, options: Options) -> None:
        """Write a checkpoint to where it was asked for. Raise CommandError."""
        try:
            if options["mail"]:
                send_mail("Checkpoint of maim's audit log", f"{text}\n", None, options["mail"])
            if options["output"] is not None:
                Path(options["output"]).write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"The checkpoint was not written or sent: {error}") from error
        if options["output"] is None:
            self.stdout.write(text)


def _read(path: Path) -> Any:
    """Return the document of a file. Raise CommandError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise CommandError(f"{path} is no checkpoint: it is not JSON") from error


def _compare(checkpoint: Any, report: Report, name: str) -> None:
    try:
        checkpoints.compare(checkpoint, report)
    except InvalidCheckpoint as error:
        raise CommandError(f"{name} is no checkpoint: {error}") from error


def _document(report: Report) -> dict[str, Any]:
    return {
        **{name: value for name, value in vars(report).items() if name not in ("counts", "findings")},
        "counts": dict(report.counts),
        "findings": [finding._asdict() for finding in report.findings],
    }


def _text(report: Report) -> str:
    since = f", the oldest of {report.tail_since} UTC" if report.tail_since else ""
    parts = [
        format_record(
            [
                ("chained", f"{report.entries} entries in {report.blocks} blocks, up to block {report.last_block}"),
                ("not chained yet", f"{report.tail} entries{since}"),
                ("signed", f"from entry {report.unsigned_up_to + 1} on"),
                ("masked afterwards", f"{report.redacted} entries"),
                ("deleted by age", f"{report.removed_entries} entries, up to block {report.removed_up_to}"),
            ]
        ),
        *report.notes,
    ]
    if not report.findings:
        return "\n".join([*parts, "Nothing is wrong."])
    number = report.counts.total()
    shown = f"the first {len(report.findings)} of {number}" if number > len(report.findings) else str(number)
    findings = format_table(("what", "where", "why"), report.findings)
    return "\n".join([*parts, f"Something is wrong ({shown}):", findings])
