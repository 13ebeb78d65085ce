"""Findings of checks. This module needs no settings, because they may be what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

# The exit codes of the command by the worst level: as other commands, 4 is a negative result that is no error.
_EXIT_CODES = (0, 4, 1)


class Level(IntEnum):
    """The level of a finding; a greater one is worse."""

    OK = 0
    WARNING = 1
    PROBLEM = 2


class Finding(NamedTuple):
    """A result of a check, and advice about it. Neither has a secret."""

    check: str
    level: Level
    found: str
    advice: str = ""


def worst(findings: Sequence[Finding]) -> Level:
    """Return the worst level of the findings."""
    return max((finding.level for finding in findings), default=Level.OK)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return the exit code of the command."""
    return _EXIT_CODES[worst(findings)]


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return findings as a JSON object."""
    return {
        "level": worst(findings).name.lower(),
        "findings": [{**finding._asdict(), "level": finding.level.name.lower()} for finding in findings],
    }


def of_environment(error: Exception) -> list[Finding]:
    """Return a finding for each line of the error about an environment with which maim cannot start."""
    lines = [line.strip() for line in str(error).splitlines() if line.startswith("  ")] or [str(error)]
    advice = "Correct it: docs/operations.md has a table of all settings. Nothing else was checked."
    return [Finding("environment", Level.PROBLEM, line, advice) for line in lines]
