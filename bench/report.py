"""The report: a table and results.json."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.cases import BEFORE_REMEMBERED, CASES, MEMORY, REMEMBERED, RESOLVE, RESOLVE_AT_MOST_MS, Case, Memory
from bench.databases import MORE_THAN_REMEMBERED
from bench.load import Measurement
from bench.rounds import REFERENCES, RSGI_JSON, Plan, Result

RESULTS = Path(__file__).with_name("results.json")
MIB = 2**20
PER_SECOND, P50, P99, CPU = map(attrgetter, ("per_second", "p50_ms", "p99_ms", "cpu_us"))
HEADINGS = ("case", "req/s", "p50 ms", "p99 ms", "CPU µs", "× RSGI", "rounds", "ratio", "at least", "")
PACKAGES = ("django", "granian", "httptools", "mysqlclient", "orjson", "redis", "uvloop")


class Report:
    """The results of the cases so far."""

    def __init__(self, plan: Plan, mariadb: str) -> None:
        self._about = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "plan": asdict(plan),
            "machine": {
                "cores": os.cpu_count(),
                "processor": _processor(),
                "memory_bytes": psutil.virtual_memory().total,
                "system": platform.platform(),
                "load_average_before": os.getloadavg()[0],
            },
            "versions": {
                "python": platform.python_version(),
                **{package: version(package) for package in PACKAGES},
                "mariadb": mariadb,
                "redis_server": _said_by("redis-server", "--version"),
                "wrk": _said_by("wrk", "-v"),
            },
        }
        self._results: dict[str, Result] = {}
        self._memory: Memory | None = None
        self._resolve_ms: float | None = None
        self._seconds: dict[str, float] = {}
        self._failures: dict[str, str] = {}

    def add(self, name: str, result: Result | Memory | float, seconds: float) -> None:
        """Add the result of a case, with the seconds it took."""
        self._seconds[name] = seconds
        if isinstance(result, Memory):
            self._memory = result
        elif isinstance(result, float):
            self._resolve_ms = result
        else:
            self._results[name] = result

    def add_failure(self, name: str, reason: str) -> None:
        """Add a case that could not be measured."""
        self._failures[name] = reason

    @property
    def exit_code(self) -> int:
        """0 if every case reaches its ratio, 1 if one does not, 2 if one could not be measured."""
        if self._failures:
            return 2
        is_fast = all(result.ratio >= CASES[name].at_least for name, result in self._results.items())
        is_light = self._resolve_ms is None or self._resolve_ms <= RESOLVE_AT_MOST_MS
        return 0 if is_fast and is_light and (self._memory is None or self._memory.is_bounded) else 1

    def table(self) -> str:
        """Return the results as a table for people."""
        rows = [HEADINGS, *(_row(CASES[name], result) for name, result in self._results.items())]
        rows += [_reference_row(name, measured) for name in REFERENCES if (measured := self._references(name))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for title, *figures in rows if self._results else []:
            cells = [title.ljust(widths[0]), *map(str.rjust, figures, widths[1:])]
            lines.append("  ".join(cells).rstrip())
        if lines:
            lines += ["", f"× RSGI: to {RSGI_JSON}; rounds: those that count, of all that were measured"]
        unsteady = [name for name, result in self._results.items() if not result.steady]
        if unsteady:
            lines += [f"no round was steady, because the machine was busy, so all count: {', '.join(unsteady)}"]
        if self._memory is not None:
            lines += ["", *_memory_lines(self._memory)]
        if self._resolve_ms is not None:
            lines += [
                "",
                f"to resolve a config: {self._resolve_ms:.2f} ms of processor time, at most {RESOLVE_AT_MOST_MS}",
            ]
        for name, reason in self._failures.items():
            lines += ["", f"{name} was not measured: {reason.strip()}"]
        return "\n".join(lines)

    def write(self) -> None:
        """Write results.json."""
        cases = {name: self._case(name, result) for name, result in self._results.items()}
        document: dict[str, Any] = {**self._about, "cases": cases, "not_measured": self._failures}
        if self._resolve_ms is not None:
            document[RESOLVE] = {"ms": round(self._resolve_ms, 3), "at_most": RESOLVE_AT_MOST_MS}
        if self._memory is not None:
            document[MEMORY] = {
                **asdict(self._memory),
                "own_bytes_per_key": round(self._memory.per_key),
                "is_good": self._memory.is_bounded,
                "took_seconds": self._seconds[MEMORY],
            }
        RESULTS.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    def _case(self, name: str, result: Result) -> dict[str, Any]:
        case = CASES[name]
        return {
            "title": case.title,
            "ratio": round(result.ratio, 3),
            "compared_with": result.other,
            "at_least": case.at_least,
            "is_good": result.ratio >= case.at_least,
            "cpu_us": round(result.median(CPU), 1),
            "steady_rounds": len(result.steady),
            "took_seconds": self._seconds[name],
            "rounds": [
                {
                    "ratio": round(each.ratio, 3),
                    "is_steady": each.is_steady,
                    "before": _figures(each.before),
                    "case": _figures(each.case),
                    "after": _figures(each.after),
                    **{f"beside: {other}": _figures(measured) for other, measured in each.beside.items()},
                }
                for each in result.rounds
            ],
        }

    def _references(self, name: str) -> list[Measurement]:
        found = []
        for result in self._results.values():
            for each in result.rounds:
                if result.other == name:
                    found.append(each.after)
                elif name in each.beside:
                    found.append(each.beside[name])
        return found


def _row(case: Case, result: Result) -> tuple[str, ...]:
    return (
        case.title,
        f"{result.median(PER_SECOND):,.0f}",
        f"{result.median(P50):.2f}",
        f"{result.median(P99):.2f}",
        f"{result.median(CPU):.0f}",
        f"{result.ratio_to(RSGI_JSON):.2f}" if RSGI_JSON in result.rounds[0].beside else "",
        f"{len(result.good)}/{len(result.rounds)}",
        f"{result.ratio:.2f}",
        f"{case.at_least:.2f} × {result.other}",
        "ok" if result.ratio >= case.at_least else "low",
    )


def _reference_row(name: str, measured: list[Measurement]) -> tuple[str, ...]:
    per_second, p50, p99, cpu = (median(map(figure, measured)) for figure in (PER_SECOND, P50, P99, CPU))
    figures = f"{per_second:,.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{cpu:.0f}"
    return f"reference: {name}", *figures, *[""] * (len(HEADINGS) - 1 - len(figures))


def _memory_lines(memory: Memory) -> list[str]:
    stages = {
        f"{BEFORE_REMEMBERED:,} verdicts cached": memory.before,
        f"{REMEMBERED:,} verdicts cached": memory.full,
        f"{MORE_THAN_REMEMBERED.keys:,} keys asked": memory.after,
    }
    lines = [
        f"internal worker, {stage}: {rss / MIB:.0f} MiB resident, {uss / MIB:.0f} MiB its own"
        for stage, (rss, uss) in stages.items()
    ]
    return [*lines, f"a verdict: {memory.per_key:,.0f} bytes; {'bounded' if memory.is_bounded else 'NOT bounded'}"]


def _figures(measured: Measurement) -> dict[str, float]:
    return {
        "per_second": round(measured.per_second),
        "p50_ms": measured.p50_ms,
        "p99_ms": measured.p99_ms,
        "cpu_us": round(measured.cpu_us, 1),
        "requests": measured.requests,
        "seconds": round(measured.seconds, 3),
        "statements": measured.statements,
        "secrets_read": measured.secrets_read,
    }


def _said_by(*command: str) -> str:
    """Return the first line of a program's output, whatever its exit code."""
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.partition("\n")[0].strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")
