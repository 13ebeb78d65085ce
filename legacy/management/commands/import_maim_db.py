from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import IntegrityError
from django.utils import timezone

from core.actor import command_actor
from core.commands.base import MaimCommand
from core.commands.exit_codes import EXPECTED_ERRORS, ExitCode, command_error
from core.commands.formatting import format_json
from core.commands.output import progress
from legacy import imports, verification
from legacy.bridge import state
from legacy.importers import importers_for
from legacy.management.arguments import ENV, parse_source
from legacy.management.formatting import (
    comparison_text,
    removals_document,
    removals_text,
    report_document,
    report_text,
    verdicts_text,
)
from legacy.removals import RemovalsRefused
from legacy.snapshot import Snapshot, take_snapshot
from legacy.sources import Source, SourceError
from legacy.tenant_batches import Progress

EXIT_CODES = (
    "Exit status: 0, done, or nothing differs; 1, it cannot be done, and the message says why; 2, the command line is "
    "wrong; 4, --verify or --verify-keys found differences; 5, the database does not answer. It can be interrupted and "
    "run again at any time, while both systems serve. See docs/moving.md."
)


class Command(MaimCommand):
    help = (
        "Imports users, tenants, agents, keys and settings from the databases of MaimConfig and MaimWebBackend. "
        "Without --apply it only reports what it would do."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=EXIT_CODES, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--config-db",
            metavar="URL",
            required=True,
            help="MaimConfig's database, or the one that both share: sqlite:///PATH, mysql://USER:PASSWORD@HOST/NAME, "
            f"or {ENV}NAME for the URL in an environment variable, which other users of the machine cannot see",
        )
        parser.add_argument("--web-db", metavar="URL", help="MaimWebBackend's database, if it has one of its own")
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument("--apply", action="store_true", help="write; without this option nothing is written")
        mode.add_argument("--verify", action="store_true", help="compare every object of the old databases with maim")
        mode.add_argument(
            "--verify-keys",
            metavar="FILE",
            help="verify the keys in a file on both systems, one key a line; - is stdin",
        )
        parser.add_argument(
            "--allow-removals",
            metavar="NUMBER",
            type=int,
            help="allow exactly this number of removals, after a run was refused because of them",
        )
        parser.add_argument(
            "--allow-older",
            action="store_true",
            help="import a database that is older than the one of the last import, such as a restored backup",
        )
        parser.add_argument("--report", metavar="FILE", help="write the complete report to a JSON file")

    def handle(self, *args: Any, **options: Any) -> None:
        config, web = parse_source(options["config_db"]), options["web_db"] and parse_source(options["web_db"])
        try:
            if options["apply"]:
                _refuse_bridged_sources([config, *filter(None, [web])])
            with take_snapshot(config, web) as snapshot:
                if options["verify"]:
                    self._verify(snapshot, options)
                elif options["verify_keys"] is not None:
                    self._verify_keys(snapshot, options)
                else:
                    self._import(snapshot, [config, *filter(None, [web])], options)
        except RemovalsRefused as error:
            _write(options["report"], removals_document(error.plan))
            self.stdout.write(removals_text(error.plan))
            raise CommandError(str(error)) from error
        except SourceError as error:
            raise CommandError(str(error)) from error
        except BrokenPipeError:  # nobody reads the output any more (manage.py)
            raise
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error
        except IntegrityError as error:
            raise CommandError(
                "Somebody created an object of the same name or id at the same moment, perhaps another import. What "
                f"was imported so far stays; run it again ({error})"
            ) from error
        except EXPECTED_ERRORS as error:
            raise command_error(error) from error

    def _import(self, snapshot: Snapshot, sources: list[Source], options: dict[str, Any]) -> None:
        started = timezone.now()
        with _progress(snapshot) as advance:
            report = imports.import_snapshot(
                snapshot,
                actor=command_actor("import_maim_db"),
                apply=options["apply"],
                progress=advance,
                allowed_removals=options["allow_removals"],
                allow_older=options["allow_older"],
            )
        names = [importer.name for importer in importers_for(snapshot).all]
        data = report_document(report, names, sources, started=started, is_applied=options["apply"])
        _write(options["report"], data)
        self.stdout.write(report_text(report, names, is_applied=options["apply"]))

    def _verify(self, snapshot: Snapshot, options: dict[str, Any]) -> None:
        with _progress(snapshot) as advance:
            comparison = verification.compare(snapshot, progress=advance)
        _write(
            options["report"],
            {
                "compared": dict(comparison.compared),
                "differences": [difference._asdict() for difference in comparison.differences],
            },
        )
        self.stdout.write(comparison_text(comparison))
        if comparison.differences:
            sys.exit(ExitCode.NO)

    def _verify_keys(self, snapshot: Snapshot, options: dict[str, Any]) -> None:
        name = options["verify_keys"]
        # Bytes that are not UTF-8 cannot be part of a key, so they are replaced.
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8", errors="replace")
        verdicts = list(verification.compare_verdicts(snapshot, filter(None, map(str.strip, text.splitlines()))))
        _write(options["report"], {"keys": [{**one._asdict(), "is_same": one.is_same} for one in verdicts]})
        self.stdout.write(verdicts_text(verdicts))
        if not all(one.is_same for one in verdicts):
            sys.exit(ExitCode.NO)


def _refuse_bridged_sources(sources: list[Source]) -> None:
    """Raise CommandError for a database that a bridge has written.

    Its agents have effective configs, which are not what was set for the agents themselves.
    """
    for source in sources:
        began = state.first_run_at(source)
        if began is not None:
            raise CommandError(
                f"{source}: a bridge has written into this database, first at {began:%Y-%m-%d %H:%M} UTC, or into "
                "another of its name. Its agents' configs include what their templates and tenants set, so an import "
                "would mix them up. Import a copy from before the bridge, under another name"
            )


def _progress(snapshot: Snapshot) -> AbstractContextManager[Progress]:
    return progress(sum(importer.count(snapshot) for importer in importers_for(snapshot).all), "objects")


def _write(name: str | None, data: dict[str, Any]) -> None:
    if name is not None:
        Path(name).write_text(format_json(data) + "\n", encoding="utf-8")
