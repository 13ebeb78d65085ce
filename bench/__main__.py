"""`make bench`: run all cases, or the named ones, and report the results."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from bench.cases import CASES, LONG, MEMORY, RESOLVE, Memory, memory
from bench.config_cases import resolve_ms
from bench.databases import Databases
from bench.harness import Bench
from bench.load import Wrong
from bench.report import Report
from bench.rounds import FULL, QUICK, Plan, Result, Rounds
from bench.services import Services
from tests.run import install, install_mysqlclient, missing_packages

# One case that fails must not lose the others: wrong answers, servers or clients that time out, failed seeding.
FAILURES = (Wrong, OSError, httpx.HTTPError, subprocess.SubprocessError)


def main() -> int:
    """Return 0 if every case reaches its ratio, 1 if one does not, 2 if one could not be measured."""
    parser = argparse.ArgumentParser(prog='make bench ARGS="…"', description=__doc__)
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help=f"{', '.join([*CASES, MEMORY, RESOLVE])}; all by default"
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"one short round of each case, without {', '.join(sorted(LONG))}"
    )
    given = parser.parse_args()
    unknown = set(given.cases) - {*CASES, MEMORY, RESOLVE}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    missing = missing_packages(servers=True) + ["wrk"] * (shutil.which("wrk") is None)
    if missing and not install(missing):
        print(f"not measured, for want of {' '.join(missing)} (not root, or no apt-get)")
        return 2
    install_mysqlclient()
    for name in list(os.environ):
        if name.startswith("MAIM") or name in ("DATABASE_URL", "REDIS_URL"):
            del os.environ[name]  # maim is measured with its default settings
    # End the servers however the run ends, because stopped ones would stay forever.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    wanted = given.cases or {*CASES, MEMORY, RESOLVE} - (LONG if given.quick else set())
    names = [name for name in (*CASES, MEMORY, RESOLVE) if name in wanted]
    report = _measure(names, QUICK if given.quick else FULL)
    print(report.table())
    return report.exit_code


def _measured(name: str, bench: Bench) -> Result | Memory | float:
    if name == RESOLVE:
        return resolve_ms()
    return memory(bench) if name == MEMORY else CASES[name].run(bench)


def _measure(names: list[str], plan: Plan) -> Report:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maim-bench-")))
        directory.chmod(0o755)  # mariadbd runs as another user
        databases = stack.enter_context(Databases(directory))
        services = Services(directory, databases, stack)
        bench = Bench(directory, databases, services, Rounds(services, plan, directory / "constant.bodies"))
        report = Report(plan, databases.mariadb_version())
        for name in names:
            began = time.monotonic()
            try:
                result = _measured(name, bench)
            except FAILURES as error:
                report.add_failure(name, f"{type(error).__name__}: {error}")
                print(f"{name}: not measured", flush=True)
            else:
                report.add(name, result, round(time.monotonic() - began, 1))
                print(f"{name}: measured in {time.monotonic() - began:.0f} s", flush=True)
            report.write()  # after each, so that a run that is ended keeps what it has
        return report


if __name__ == "__main__":
    sys.exit(main())
