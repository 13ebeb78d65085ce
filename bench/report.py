"""The results of a run: results.json, which bench.tables shows."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.case import Case
from bench.cases import MEMORY, RESOLVE, RESOLVE_AT_MOST_MS
from bench.key_cases import Memory
from bench.load import Measurement
from bench.rounds import DJANGO, REFERENCES, RSGI_JSON, Plan, Result

PER_SECOND, P50, P99, CPU = map(attrgetter, ("per_second", "p50_ms", "p99_ms", "cpu_us"))
PACKAGES = ("django", "granian", "httptools", "mysqlclient", "orjson", "redis", "uvloop")


def about(mariadb: str) -> dict[str, Any]:
    """Return the time, the machine and the versions of a run."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "processor": _processor(),
            "memory_bytes": psutil.virtual_memory().total,
            "system": f"{platform.system()} {platform.release().partition('-')[0]}",
            "load_average_before": round(os.getloadavg()[0], 2),
        },
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
            "mariadb": mariadb,
            "redis_server": _said_by("redis-server", "--version"),
            "wrk": _said_by("wrk", "-v"),
        },
    }


def write(document: dict[str, Any], path: Path) -> None:
    """Write results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


class Report:
    """The results of the cases so far."""

    def __init__(self, plan: Plan, cases: Mapping[str, Case], about_run: dict[str, Any]) -> None:
        self._cases = cases
        self._results: dict[str, Result] = {}
        self.document: dict[str, Any] = {**about_run, "plan": asdict(plan), "cases": {}, "not_measured": {}}

    def add(self, name: str, result: Result | Memory | float, seconds: float) -> None:
        """Add the result of a case, with the seconds it took."""
        if isinstance(result, Memory):
            judged = {"own_bytes_per_key": round(result.per_key), "is_good": result.is_bounded}
            self.document[MEMORY] = {**asdict(result), **judged, "took_seconds": seconds}
        elif isinstance(result, float):
            figures = {"ms": round(result, 3), "at_most": RESOLVE_AT_MOST_MS}
            self.document[RESOLVE] = {**figures, "is_good": result <= RESOLVE_AT_MOST_MS}
        else:
            self._results[name] = result
            self.document["cases"][name] = {**_case(self._cases[name], result), "took_seconds": seconds}
            self.document["references"] = self._references()

    def add_failure(self, name: str, reason: str) -> None:
        """Add a case that could not be measured."""
        self.document["not_measured"][name] = reason.strip()

    @property
    def exit_code(self) -> int:
        """0 if every case is good, 1 if one is not, 2 if one could not be measured."""
        if self.document["not_measured"]:
            return 2
        others = [self.document[name] for name in (MEMORY, RESOLVE) if name in self.document]
        return 0 if all(each["is_good"] for each in [*self.document["cases"].values(), *others]) else 1

    def write(self, path: Path) -> None:
        """Write the results so far."""
        write(self.document, path)

    def _references(self) -> dict[str, dict[str, float]]:
        measured: dict[str, list[Measurement]] = {name: [] for name in REFERENCES}
        for result in self._results.values():
            for each in result.rounds:
                if result.other == DJANGO:
                    measured[DJANGO].append(each.after)
                for name, beside in each.beside.items():
                    measured[name].append(beside)
        return {name: medians(several) for name, several in measured.items() if several}


def _case(case: Case, result: Result) -> dict[str, Any]:
    bound = case.bound
    figures = medians([each.case for each in result.good])
    return {
        "title": case.title,
        **figures,
        "p99_to_p50": round(figures["p99_ms"] / figures["p50_ms"], 1),
        "to_django": round(result.ratio_to(DJANGO), 4),
        "to_rsgi_json": None if case.title == RSGI_JSON else round(result.ratio_to(RSGI_JSON), 4),
        "ratio": round(result.ratio, 4),
        "compared_with": result.other,
        "at_least": case.at_least,
        "bound": None if bound is None else {"text": str(bound), "value": round(bound.of(result), 2)},
        "is_good": case.is_good(result),
        "rounds_that_count": len(result.good),
        "is_steady": bool(result.steady),
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


def medians(measured: list[Measurement]) -> dict[str, float]:
    """Return the medians of the figures of several measurements."""
    per_second, p50, p99, cpu = (median(map(figure, measured)) for figure in (PER_SECOND, P50, P99, CPU))
    return {"per_second": round(per_second, 1), "p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "cpu_us": round(cpu)}


def _figures(measured: Measurement) -> dict[str, float]:
    return {
        "per_second": round(measured.per_second, 1),
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
