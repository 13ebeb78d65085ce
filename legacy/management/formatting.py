"""What an import and its checks found, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from core.commands.formatting import format_table
from legacy.checks import Comparison, Judged
from legacy.removals import Plan
from legacy.reports import Finding, Report
from legacy.sources import Source

_SHOWN = 20  # of each list; the JSON report has them all


def report_document(
    report: Report, kinds: Sequence[str], sources: Sequence[Source], *, started: datetime, is_applied: bool
) -> dict[str, Any]:
    """All of it."""
    return {
        "applied": is_applied,
        "sources": [str(source) for source in sources],
        "started": started.isoformat(),
        "finished": timezone.now().isoformat(),
        "kinds": {kind: report.counts(kind) for kind in kinds},
        "findings": [finding._asdict() for finding in report.findings],
    }


def report_text(report: Report, kinds: Sequence[str], *, is_applied: bool) -> str:
    """The counts, what was found how often, and the first of each."""
    rows = [[kind, *report.counts(kind).values()] for kind in kinds]
    parts = [format_table(["KIND", *(name.upper() for name in report.counts(""))], rows)]
    by_reason = Counter((finding.kind, finding.reason, finding.is_refused) for finding in report.findings)
    for (kind, reason, is_refused), number in sorted(by_reason.items()):
        heading = f"{kind}, {'refused' if is_refused else 'taken over, but'}: {reason} ({number})"
        found = [one for one in report.findings if (one.kind, one.reason, one.is_refused) == (kind, reason, is_refused)]
        parts.append("\n".join([heading, *_some([_finding_line(one) for one in found])]))
    if not is_applied:
        parts.append("Nothing was written; --apply writes it.")
    return "\n\n".join(parts)


def removals_document(plan: Plan) -> dict[str, Any]:
    """Return all removals that a refused run would have made."""
    return {
        "applied": False,
        "removals": [{**removal._asdict(), "touched": plan.touched.get(removal.audit_id)} for removal in plan.removals],
    }


def removals_text(plan: Plan) -> str:
    """Return how much would be removed of each kind, and the first of what was made or changed here since."""
    rows = [[kind, number, plan.imported.get(kind, "-")] for kind, number in plan.by_kind.items()]
    parts = [format_table(["KIND", "WOULD BE REMOVED", "CAME OVER"], rows)]
    if plan.touched:
        parts.append("\n".join(["made or changed here since:", *_some([f"  {line}" for line in plan.lines()])]))
    return "\n\n".join(parts)


def comparison_text(found: Comparison) -> str:
    """How many objects are the same, and which are not."""
    different = Counter(difference.kind for difference in found.differences)
    rows = [[kind, number, number - different[kind], different[kind]] for kind, number in found.compared.items()]
    parts = [format_table(["KIND", "COMPARED", "SAME", "DIFFERENT"], rows)]
    if found.differences:
        lines = [f"{one.kind} {one.object_id}: {', '.join(one.fields)}" for one in found.differences]
        parts.append("\n".join(_some(lines)))
    return "\n\n".join(parts)


def judged_text(judged: Sequence[Judged]) -> str:
    """What both systems say of each key."""
    rows = [[one.masked, one.key_id, one.there, one.here, "same" if one.is_same else "DIFFERENT"] for one in judged]
    return format_table(["KEY", "ID", "THERE", "HERE", ""], rows)


def _finding_line(finding: Finding) -> str:
    return f"  {finding.object_id}: {finding.detail}"


def _some(lines: Sequence[str]) -> list[str]:
    more = [f"  … and {len(lines) - _SHOWN} more; --report writes them all"] if len(lines) > _SHOWN else []
    return [*lines[:_SHOWN], *more]
