"""The outcome of a verification of the audit log, for people and for programs, and the checkpoints in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from core.audit_chain import checkpoints
from core.audit_chain.checkpoints import InvalidCheckpoint
from core.audit_chain.findings import Report
from core.commands.output import Output


def read_checkpoint(name: str) -> Any:
    """Return the checkpoint in a file. Raise CommandError if it is not JSON, and OSError."""
    try:
        return json.loads(Path(name).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CommandError(f"{name} is no checkpoint: it is not JSON") from error


def compare(checkpoint: Any, report: Report, name: str) -> None:
    """Add to the report how the log differs from a checkpoint. Raise CommandError if it is none."""
    try:
        checkpoints.compare(checkpoint, report)
    except InvalidCheckpoint as error:
        raise CommandError(f"{name} is no checkpoint: {error}") from error


def document(report: Report) -> dict[str, Any]:
    """Return a report as a JSON object."""
    return {
        **{name: value for name, value in vars(report).items() if name not in ("counts", "findings")},
        "counts": dict(report.counts),
        "findings": [finding._asdict() for finding in report.findings],
    }


def write(report: Report, out: Output) -> None:
    """Write a report for people."""
    since = f", the oldest of {report.tail_since} UTC" if report.tail_since else ""
    out.record(
        [
            ("chained", f"{report.entries} entries in {report.blocks} blocks, up to block {report.last_block}"),
            ("not chained yet", f"{report.tail} entries{since}"),
            ("signed", f"from entry {report.unsigned_up_to + 1} on"),
            ("masked afterwards", f"{report.redacted} entries"),
            ("deleted by age", f"{report.removed_entries} entries, up to block {report.removed_up_to}"),
        ]
    )
    for note in report.notes:
        out.text(note)
    if not report.findings:
        out.text("Nothing is wrong.")
        return
    number = report.counts.total()
    shown = f"the first {len(report.findings)} of {number}" if number > len(report.findings) else str(number)
    out.text(f"Something is wrong ({shown}):")
    out.table(("what", "where", "why"), report.findings)
