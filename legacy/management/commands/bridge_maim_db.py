from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from django.core.management.base import CommandError, CommandParser

from core.commands.base import MaimCommand
from core.commands.exit_codes import EXPECTED_ERRORS, ExitCode, command_error
from core.commands.output import Output
from core.locks import locked
from legacy.bridge import state
from legacy.bridge.database import DatabaseUnavailable
from legacy.bridge.runner import Runner, lock_name, run_once
from legacy.management.arguments import ENV, parse_source
from legacy.sources import Source, SourceError

log = logging.getLogger("maim.bridge")

EXIT_CODES = (
    "Exit status: 0, it was stopped, or one pass is done; 1, it cannot run, and the message says why; 2, the command "
    "line is wrong; 4, the old database refuses some objects; 5, with --once or --dry-run, a database does not "
    "answer. It may be killed at any moment. See docs/moving.md."
)
_STOP_SECONDS = 1.5
_KINDS = ("tenants", "agents", "keys", "plugins")
_OUTCOMES = ("compared", "inserted", "updated", "deleted", "refused")


class Command(MaimCommand):
    help = (
        "Keeps MaimConfig's old tables up to date for bots that read their config there, and copies their heartbeats "
        "into maim, until SIGTERM."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=EXIT_CODES, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--to",
            metavar="URL",
            required=True,
            help="MaimConfig's database: sqlite:///PATH, mysql://USER:PASSWORD@HOST/NAME, or "
            f"{ENV}NAME for the URL in an environment variable, which other users of the machine cannot see",
        )
        parser.add_argument(
            "--with-secrets",
            action="store_true",
            help="write the providers' keys and addresses, and message tokens, in clear; docs/moving.md weighs that",
        )
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument("--once", action="store_true", help="make one full pass, and end")
        mode.add_argument("--dry-run", action="store_true", help="show what one full pass would write")
        mode.add_argument(
            "--forget", action="store_true", help="drop the records of a bridge that is not needed any more"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        source = parse_source(options["to"])
        try:
            if options["forget"]:
                self._forget(source)
            elif options["once"] or options["dry_run"]:
                self._run_once(source, options)
            else:
                _run_until_stopped(source, with_secrets=options["with_secrets"])
        except SourceError as error:
            raise CommandError(str(error)) from error
        except DatabaseUnavailable as error:
            raise CommandError(f"{source} does not answer: {error}", returncode=ExitCode.UNAVAILABLE) from error
        except EXPECTED_ERRORS as error:
            raise command_error(error) from error

    def _forget(self, source: Source) -> None:
        with locked(lock_name(source)):
            number = state.delete_records(source)
        self.stdout.write(f"The records of {number} objects are deleted; the old tables stay as they are.")

    def _run_once(self, source: Source, options: dict[str, Any]) -> None:
        counts = run_once(source, with_secrets=options["with_secrets"], is_dry=options["dry_run"])
        out = Output(self.stdout, self.stderr, has_colors=not options["no_color"])
        rows = [[kind, *(counts[kind, outcome] for outcome in _OUTCOMES)] for kind in _KINDS]
        out.table(["KIND", *(outcome.upper() for outcome in _OUTCOMES)], rows)
        if options["dry_run"]:
            self.stdout.write("\nNothing was written.")
        else:
            self.stdout.write(f"\n{counts['heartbeats', 'imported']} heartbeats were imported.")
        if any(counts[kind, "refused"] for kind in _KINDS):
            sys.exit(ExitCode.NO)


def _run_until_stopped(source: Source, *, with_secrets: bool) -> None:
    """Run the bridge in a thread, which may hang in a database, so that a signal ends the process in time."""
    stopping, failed = threading.Event(), list[Exception]()
    runner = Runner(source, with_secrets=with_secrets, stopping=stopping)

    def run() -> None:
        try:
            runner.run()
        except (SourceError, *EXPECTED_ERRORS) as error:
            failed.append(error)

    signals = list[int]()  # no Event, because setting one in a signal handler deadlocks with a wait for it

    def stop(signum: int, frame: FrameType | None) -> None:
        signals.append(signum)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)
    thread = threading.Thread(target=run, name="bridge", daemon=True)
    thread.start()
    log.info("the bridge to %s runs", source)
    while thread.is_alive() and not signals:
        thread.join(0.2)
    stopping.set()
    thread.join(_STOP_SECONDS)
    if failed:
        raise failed[0]
    log.info("the bridge to %s is stopped", source)
    if thread.is_alive():
        logging.shutdown()
        os._exit(0)  # the thread waits for a database, which rolls its transaction back
    if not signals:
        raise CommandError("The bridge ended by itself; its traceback is above")
