"""A plan as text for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core.commands.formatting import format_value
from provisioning.changes import Change, Sign
from provisioning.plans import Plan
from provisioning.yaml_file import Place, Problem

_LONGEST = 200


def plan_lines(plan: Plan, file: str, style: Any) -> Iterator[str]:
    """Yield the lines of a plan. `style` is that of a Django command, which colours them at a terminal."""
    colour: dict[Sign, Callable[[str], str]] = {
        Sign.ADD: style.SUCCESS,
        Sign.CHANGE: style.WARNING,
        Sign.REMOVE: style.ERROR,
        Sign.SKIP: style.NOTICE,
    }
    for change in plan.changes:
        yield colour[change.sign](_head(change))
        for name, before, after in change.fields:
            shown = _value(after) if before is None else f"{_value(before)} → {_value(after)}"
            yield f"    {format_value(name)}: {shown}"
    for warning in plan.warnings:
        yield f"warning: {problem_line(warning, file)}"
    yield summary(plan)


def summary(plan: Plan) -> str:
    """Return how much is to be done, in one line."""
    if not plan.changes:
        return "Nothing to do: everything is as the file has it."
    added, changed, removed, skipped = (plan.number(sign) for sign in Sign)
    parts = [f"{added} to add", f"{changed} to change", f"{removed} to remove"]
    return ", ".join([*parts, *([f"{skipped} cannot be done here"] if skipped else [])]) + "."


def plan_document(plan: Plan) -> list[dict[str, Any]]:
    """Return the changes for programs."""
    return [
        {
            "change": change.sign.name.lower(),
            "kind": change.kind,
            "path": list(change.path),
            "fields": [field._asdict() for field in change.fields],
            "note": change.note or None,
        }
        for change in plan.changes
    ]


def problems_text(problems: Sequence[Problem], file: str) -> str:
    """Return what is wrong with a file, a line for each problem."""
    return "\n".join(problem_line(problem, file) for problem in problems)


def problem_line(problem: Problem, file: str) -> str:
    """Return `file:line: path: sentence`."""
    where = file if problem.line is None else f"{file}:{problem.line}"
    path = path_text(problem.place)
    return ": ".join([where, *([path] if path else []), format_value(problem.sentence)])


def path_text(place: Place) -> str:
    """Return the path of a place, such as `tenants[0].agents[1].name`."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{format_value(step)}" for step in place)
    return "".join(parts).removeprefix(".")


def _head(change: Change) -> str:
    path = " / ".join(map(format_value, change.path))
    return f"{change.sign} {change.kind} {path}" + (f" ({change.note})" if change.note else "")


def _value(value: Any) -> str:
    text = format_value(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
