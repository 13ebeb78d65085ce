"""The command import_maim_db, run as an operator does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from apikeys.recount import find_drift
from legacy.tests.old_databases import OldDatabase
from tests.support.commands import Outcome, run


class Run(NamedTuple):
    """The outcome of a run, with its JSON report."""

    outcome: Outcome
    report: dict[str, Any]

    def counts(self, kind: str) -> dict[str, int]:
        """Return the counts of a kind, without zeros."""
        counts: dict[str, int] = self.report["kinds"][kind]
        return {name: number for name, number in counts.items() if number}

    def reasons(self, kind: str, object_id: str | None = None) -> list[str]:
        """Return the reasons of the findings about a kind, or about one object."""
        return [
            finding["reason"]
            for finding in self.report["findings"]
            if finding["kind"] == kind and object_id in (None, finding["object_id"])
        ]


def import_from(old: OldDatabase | str, directory: Path, *arguments: str, web: OldDatabase | str | None = None) -> Run:
    """Run `import_maim_db`, by default with --apply. Run it again with the allowed removals if it asks for that."""
    report = directory / "report.json"
    options = ["--config-db", _url(old), *(["--web-db", _url(web)] if web else []), *(arguments or ["--apply"])]
    outcome = run("import_maim_db", *options, "--report", str(report))
    if asked := re.search(r"--allow-removals \d+", outcome.err):
        outcome = run("import_maim_db", *options, "--report", str(report), *asked[0].split())
    assert outcome.status == 0, outcome.err
    assert not find_drift(), "every imported and removed row is counted (core.counts)"
    return Run(outcome, json.loads(report.read_text()))


def verify(old: OldDatabase | str, *arguments: str, web: OldDatabase | str | None = None) -> Outcome:
    """Run `import_maim_db` with --verify or with other arguments."""
    options = ["--config-db", _url(old), *(["--web-db", _url(web)] if web else [])]
    return run("import_maim_db", *options, *(arguments or ["--verify"]))


def _url(old: OldDatabase | str) -> str:
    return old if isinstance(old, str) else old.url
