"""The results of imports and verifications, as text and as JSON documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from core.commands.formatting import format_table
from legacy.removals import RemovalPlan
from legacy.reports import Finding, Report
from legacy.sources import Source
from legacy.verification import Comparison, KeyVerdicts

_MAX_LINES = 20  # of each list; the JSON report has them all


def report_document(
    report: Report, kinds: Sequence[str], sources: Sequence[Source], *, started: datetime, is_applied: bool
) -> dict[str, Any]:
    """Return the whole report."""
    return {
        "applied": is_applied,
        "sources": [str(source) for source in sources],
        "started": started.isoformat(),
        "finished": timezone.now().isoformat(),
        "kinds": {kind: report.counts(kind) for kind in kinds},
        "findings": [finding._asdict() for finding in report.findings],
    }


def report_text(report: Report, kinds: Sequence[str], *, is_applied: bool) -> str:
    """Return the counts, and the first findings of each reason."""
    rows = [[kind, *report.counts(kind).values()] for kind in kinds]
    parts = [format_table(["KIND", *(name.upper() for name in report.counts(""))], rows)]
    by_reason = Counter((finding.kind, finding.reason, finding.is_refused) for finding in report.findings)
    for (kind, reason, is_refused), number in sorted(by_reason.items()):
        heading = f"{kind}, {'refused' if is_refused else 'imported, but'}: {reason} ({number})"
        found = [one for one in report.findings if (one.kind, one.reason, one.is_refused) == (kind, reason, is_refused)]
        parts.append("\n".join([heading, *_first_lines([_finding_line(one) for one in found])]))
    if not is_applied:
        parts.append("Nothing was written; --apply writes it.")
    return "\n\n".join(parts)


def removals_document(plan: RemovalPlan) -> dict[str, Any]:
    """Return all removals that a refused import would have made."""
    return {
        "applied": False,
        "removals": [{**removal._asdict(), "touched": plan.touched.get(removal.audit_id)} for removal in plan.removals],
    }


def removals_text(plan: RemovalPlan) -> str:
    """Return the number of removals by kind, and the first objects that were created or changed in maim."""
    rows = [[kind, number, plan.imported.get(kind, "-")] for kind, number in plan.by_kind.items()]
    parts = [format_table(["KIND", "WOULD BE REMOVED", "IMPORTED"], rows)]
    if plan.touched:
        parts.append(
            "\n".join(
                ["created or changed in maim since:", *_first_lines([f"  {line}" for line in plan.touched_lines()])]
            )
        )
    return "\n\n".join(parts)


def comparison_text(comparison: Comparison) -> str:
    """Return the number of equal and differing objects by kind, and the first differences."""
    different = Counter(difference.kind for difference in comparison.differences)
    rows = [[kind, number, number - different[kind], different[kind]] for kind, number in comparison.compared.items()]
    parts = [format_table(["KIND", "COMPARED", "SAME", "DIFFERENT"], rows)]
    if comparison.differences:
        lines = [f"{one.kind} {one.object_id}: {', '.join(one.fields)}" for one in comparison.differences]
        parts.append("\n".join(_first_lines(lines)))
    return "\n\n".join(parts)


def verdicts_text(verdicts: Sequence[KeyVerdicts]) -> str:
    """Return the verdicts of both systems on each key."""
    rows = [[one.masked, one.key_id, one.old, one.new, "same" if one.is_same else "DIFFERENT"] for one in verdicts]
    return format_table(["KEY", "ID", "OLD", "MAIM", ""], rows)


def _finding_line(finding: Finding) -> str:
    return f"  {finding.object_id}: {finding.detail}"


def _first_lines(lines: Sequence[str]) -> list[str]:
    more = [f"  … and {len(lines) - _MAX_LINES} more; --report writes them all"] if len(lines) > _MAX_LINES else []
    return [*lines[:_MAX_LINES], *more]
