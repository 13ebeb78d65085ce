"""`make bench`: run all cases, or the named ones, and report the results."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx

from bench import page, tables
from bench.cases import MEMORY, RESOLVE, cases
from bench.config_cases import resolve_ms
from bench.databases import ROOT, Databases
from bench.harness import Bench
from bench.key_cases import Memory, memory
from bench.load import Wrong
from bench.machine import prepare
from bench.page import RESULTS
from bench.report import Report, about
from bench.rounds import FULL, QUICK, Plan, Result, Rounds
from bench.services import Services
from bench.sizes import FULL_SIZES, QUICK_SIZES, Sizes

# Of a run that is short or of some cases. The committed results are of one whole run.
OF_A_PART = ROOT / "var" / "bench.json"
ATTEMPTS = 2
NAMES = [*cases(FULL_SIZES), MEMORY, RESOLVE]


class Run(NamedTuple):
    """The cases of a run, how they are measured, and the file for the results."""

    names: list[str]
    plan: Plan
    sizes: Sizes
    path: Path


def main() -> int:
    """Return 0 if every case is good, 1 if one is not, 2 if one could not be measured."""
    given = _arguments()
    if given.cases == ["report"]:
        page.write()
        return 0
    if not prepare():
        return 2
    names = [name for name in NAMES if name in (given.cases or NAMES)]
    is_whole = names == NAMES and not given.quick
    plan, sizes = (QUICK, QUICK_SIZES) if given.quick else (FULL, FULL_SIZES)
    report = _measure(Run(names, plan, sizes, RESULTS if is_whole else OF_A_PART))
    print(tables.text(report.document))
    if is_whole:
        page.write()
    return report.exit_code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='make bench ARGS="…"', description=__doc__)
    known = f"{', '.join(NAMES)}; all by default. `report` alone rewrites the tables of docs/benchmarks.md"
    parser.add_argument("cases", nargs="*", metavar="CASE", help=known)
    parser.add_argument("--quick", action="store_true", help="one short round of each case, with fewer keys")
    given = parser.parse_args()
    unknown = set(given.cases) - set(NAMES)
    if unknown and given.cases != ["report"]:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    return given


def _measure(run: Run) -> Report:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maim-bench-")))
        directory.chmod(0o755)  # mariadbd runs as another user
        databases = stack.enter_context(Databases(directory))
        services = Services(directory, databases, stack)
        bench = Bench(directory, databases, services, Rounds(services, run.plan, directory), run.sizes)
        report = Report(run.plan, cases(run.sizes), about(databases.mariadb_version()))
        for name in run.names:
            began = time.monotonic()
            try:
                result = _measured(name, bench)
            except failures() as error:
                report.add_failure(name, f"{type(error).__name__}: {error}")
                print(f"{name}: not measured", flush=True)
            else:
                report.add(name, result, round(time.monotonic() - began, 1))
                print(f"{name}: measured in {time.monotonic() - began:.0f} s", flush=True)
            report.write(run.path)  # after each, so that a run that is ended keeps what it has
        return report


def failures() -> tuple[type[Exception], ...]:
    """Return what one case may raise without losing the others: wrong answers, time-outs, failed seeding."""
    import MySQLdb  # installed by now

    return (Wrong, OSError, httpx.HTTPError, subprocess.SubprocessError, MySQLdb.Error)


def _measured(name: str, bench: Bench) -> Result | Memory | float:
    """Measure a case. Try again if it fails, because the machine may have been too busy for a time-out."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if name == RESOLVE:
                return resolve_ms()
            return memory(bench) if name == MEMORY else cases(bench.sizes)[name].run(bench)
        except failures() as error:
            if attempt == ATTEMPTS:
                raise
            print(f"{name}: failed, trying again: {type(error).__name__}: {error}", flush=True)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    sys.exit(main())
