from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.core.mail import send_mail
from django.core.management.base import CommandError, CommandParser

from core import audit_export
from core.audit_chain import checkpoints, verification
from core.audit_chain.chainer import CannotChain, Chainer
from core.commands.exit_codes import ExitCode
from core.commands.files import create_private
from core.commands.formatting import format_json
from core.commands.options import add_json, add_page, integer_between
from core.commands.output import progress
from core.commands.subcommands import Options, SubcommandsCommand
from core.keyset import read_page
from core.models import AuditEntry
from tenants.management import audit_entries, audit_report
from tenants.management.lookup import TenantLookup

EXIT_CODES = (
    "Exit status: 0, it is done, and the audit log is as it was written; 1, a checkpoint or file cannot be read or "
    "made; 2, the command line is wrong; 3, there is no such entry, tenant or user; 4, something is wrong with the "
    "audit log; 5, the database does not answer."
)
STREAM = "-"
MAX_ID = 2**63 - 1


class Command(SubcommandsCommand):
    help = "Lists and exports the audit log, and verifies that nobody has tampered with it."
    exit_codes = EXIT_CODES

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        found = add("list", self.list, "Lists changes, newest first")
        audit_entries.add_filters(found)
        add_page(found)
        add_json(found)

        show = add("show", self.show, "Shows a change, with each field before and after")
        show.add_argument("entry", type=integer_between(1, MAX_ID), metavar="ID", help="as `list` shows it")
        add_json(show)

        export = add("export", self.export, "Writes changes as JSON, one a line, oldest first")
        audit_entries.add_filters(export)
        export.add_argument(
            "--output", metavar="FILE", default=STREAM, help="a new file, which only its owner can read"
        )

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

    def list(self, options: Options) -> None:
        rows = audit_entries.filter_entries(options, TenantLookup(self.actor))
        page = read_page(rows, after=options["after"], limit=options["limit"])
        self.write_page(
            page,
            options,
            header=audit_entries.HEADER,
            row=audit_entries.row,
            document=lambda entries: [audit_export.document(entry) for entry in entries],
        )

    def show(self, options: Options) -> None:
        entry = AuditEntry.objects.filter(pk=options["entry"]).first()
        if entry is None:
            raise CommandError(f"There is no audit entry {options['entry']}", returncode=ExitCode.NOT_FOUND)
        if options["json"]:
            self.out.json(audit_export.document(entry))
            return
        self.out.record(audit_entries.members(entry))
        if changes := audit_entries.changes(entry):
            self.out.text("")
            self.out.table(["FIELD", "BEFORE", "AFTER"], changes)

    def export(self, options: Options) -> None:
        rows = audit_entries.filter_entries(options, TenantLookup(self.actor))
        first, last = audit_entries.bounds(rows)
        with self._destination(options["output"]) as write, progress(last - first + 1, "entries") as advance:
            done, number = first - 1, 0
            try:
                for entry in audit_entries.oldest_first(rows, first, last):
                    write(audit_export.json_line(entry))
                    number += 1
                    advance(entry.pk - done)
                    done = entry.pk
            finally:  # also of what was written before somebody interrupted it
                filters = audit_entries.chosen_filters(options)
                audit_export.record_export(actor=self.actor, file_format="jsonl", filters=filters, entries=number)

    @contextmanager
    def _destination(self, output: str) -> Iterator[Callable[[str], Any]]:
        if output == STREAM:
            yield lambda text: self.out.text(text, ending="")
        else:
            file: TextIO
            with create_private(output) as file:
                yield file.write

    def verify(self, options: Options) -> None:
        name = options["checkpoint"]
        checkpoint = None if name is None else audit_report.read_checkpoint(name)
        with progress(verification.size(), "entries") as advance:
            report = verification.verify(advance)
        if checkpoint is not None:
            audit_report.compare(checkpoint, report, name)
        if options["json"]:
            self.out.json(audit_report.document(report))
        else:
            audit_report.write(report, self.out)
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
            self.out.text(text)
