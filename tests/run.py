"""`make test`: the suite, each test once. `make test-heavy`: the rest, and SQLite for what depends on the database.

Tests marked `embedded`, which would find the same on any database, run on SQLite, and all others on MariaDB and Redis:
those marked `single`, which take long, in passes of their own, and the rest together. `--heavy` runs tests marked
`heavy`, of faults, load, many pages and many processes, and on SQLite what `make test` runs on MariaDB, but for
`single` tests. Tests that are named run on both databases, heavy ones included. Passes that take long are in parts, so
that no core is left without work.

The servers are private and throw-away, on free loopback ports. Where their programs are missing they
are installed if that is allowed (root, apt-get), and otherwise left out with a line that says so. With
DATABASE_URL (and REDIS_URL) in the environment, the pass on MariaDB uses those servers instead.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.support.haproxy import HAProxy
from tests.support.instances import MariaDB, Redis

# What each pass chooses, by marks.
ON_SQLITE, DATABASE_DEPENDENT = "embedded and not single and not heavy", "not embedded and not single and not heavy"
EMBEDDED, SINGLE, HEAVY = "embedded", "single", "heavy"
HEAVY_ON_SQLITE, HEAVY_ON_MARIADB = "heavy and embedded", "heavy and not embedded"
SINGLE_ON_MARIADB = "single and not heavy"
# Of tests that were named, heavy ones run as well.
NAMED_ON_SQLITE, NAMED_ONLY_ON_MARIADB = "not single and (embedded or not heavy)", "single or (heavy and not embedded)"
# The passes of heavy tests, which wait for servers more than they compute.
HEAVY_PASSES = 3
NO_TESTS = 5  # pytest's exit code
# The niceness of the passes beside those of `single` tests, which take longest and so go first.
NICENESS = 3
ROOT = Path(__file__).resolve().parent.parent


class Plan(NamedTuple):
    """A pass to run: its title, arguments and marks, and whether it is on MariaDB with Redis.

    `may_be_empty` tells that it may have no tests, as of a few that somebody named.
    """

    title: str
    arguments: list[str]
    chosen: str
    has_servers: bool = True
    niceness: int = 0
    may_be_empty: bool = False


def main(arguments: list[str]) -> int:
    """Run all passes, beside each other. Return the exit code."""
    began = time.monotonic()
    given_database, given_redis = os.environ.pop("DATABASE_URL", ""), os.environ.pop("REDIS_URL", "")
    given = given_database.startswith("mysql:")
    missing = missing_packages(servers=not given)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maim-test-")))
        directory.chmod(0o755)  # mariadbd runs as another user
        if HAProxy.missing():
            install(HAProxy.missing())  # the one test that needs it is skipped without
        if missing and not install(missing):
            print(f"left out: the pass on MariaDB and Redis, for want of {' '.join(missing)} (not root, or no apt-get)")
            plans = [without_servers(arguments)]
        else:
            install_mysqlclient()
            plans = plans_of(arguments, on_given_servers=given)
        passes: list[Pass] = []
        for number, plan in enumerate(plans):
            servers: dict[str, str] = {}
            if plan.has_servers and given:
                servers = {"DATABASE_URL": given_database, "REDIS_URL": given_redis}
            elif plan.has_servers:
                servers = own_servers(stack, directory / f"servers-{number}")
            passes.append(Pass(plan, servers, directory))
            stack.callback(passes[-1].end)
        result = exit_code([(each.plan, each.wait()) for each in passes])
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"took {time.monotonic() - began:.0f} s, and {spent.ru_utime + spent.ru_stime:.0f} s of the processors")
    return result


def plans_of(arguments: list[str], *, on_given_servers: bool) -> list[Plan]:
    """Return the passes of a run. Those that need no server come first, because servers take seconds to start."""
    if arguments == ["--heavy"]:
        # One pass on servers that were given, because two would use the same database.
        parts = parts_of(HEAVY, 1 if on_given_servers else HEAVY_PASSES)
        (files,) = parts_of(HEAVY, 1)
        return [
            Plan("SQLite, heavy", files, HEAVY_ON_SQLITE, has_servers=False),
            Plan("SQLite, what depends on the database", [], DATABASE_DEPENDENT, has_servers=False),
            *(
                Plan(f"MariaDB and Redis, heavy, {number} of {len(parts)}", part, HEAVY_ON_MARIADB)
                for number, part in enumerate(parts, 1)
            ),
        ]
    if arguments:
        plans = [Plan("SQLite", arguments, NAMED_ON_SQLITE, has_servers=False, may_be_empty=True)]
        only_on_mariadb = [Plan("MariaDB and Redis only", arguments, NAMED_ONLY_ON_MARIADB, may_be_empty=True)]
    else:
        first, second = parts_of(EMBEDDED, 2)
        plans = [
            Plan("SQLite, first part", first, ON_SQLITE, has_servers=False, niceness=NICENESS),
            Plan("SQLite, second part", second, ON_SQLITE, has_servers=False, niceness=NICENESS),
        ]
        first, second = parts_of(SINGLE, 2)
        only_on_mariadb = [
            Plan("MariaDB and Redis only, first part", first, SINGLE_ON_MARIADB),
            Plan("MariaDB and Redis only, second part", second, SINGLE_ON_MARIADB),
        ]
    is_named = bool(arguments)
    if on_given_servers:
        chosen = "not embedded" if is_named else f"not embedded and not {HEAVY}"
        return [*plans, Plan("MariaDB and Redis", arguments, chosen, may_be_empty=is_named)]
    return [
        *plans,
        *only_on_mariadb,
        Plan("MariaDB and Redis", arguments, DATABASE_DEPENDENT, niceness=NICENESS, may_be_empty=is_named),
    ]


def without_servers(arguments: list[str]) -> Plan:
    """Return the one pass of a run where there is no MariaDB or Redis."""
    if arguments == ["--heavy"]:
        return Plan("SQLite", [], HEAVY, has_servers=False)
    if arguments:
        return Plan("SQLite", arguments, "", has_servers=False, may_be_empty=True)
    return Plan("SQLite", [], f"not {HEAVY}", has_servers=False)


def parts_of(mark: str, number: int) -> list[list[str]]:
    """Return the files that have tests with a mark, in so many parts of about the same length."""
    files = [file for path in test_paths() for file in sorted((ROOT / path).glob("**/test_*.py"))]
    marked = [str(file) for file in files if has_mark(file, mark)]
    return [marked[first::number] for first in range(number)]


def has_mark(file: Path, mark: str) -> bool:
    """Return whether a test of this file has a mark."""
    return f"pytest.mark.{mark}" in file.read_text(encoding="utf-8")


def test_paths() -> list[str]:
    """Return the directories that have tests."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    paths: list[str] = settings["tool"]["pytest"]["ini_options"]["testpaths"]
    return paths


def own_servers(stack: ExitStack, directory: Path) -> dict[str, str]:
    """Return the addresses of a MariaDB and a Redis that run until the stack is unwound."""
    mariadb, redis = MariaDB(directory / "mariadb"), Redis(directory / "redis")
    stack.callback(mariadb.stop)
    stack.callback(redis.stop)
    mariadb.start()
    redis.start()
    return {"DATABASE_URL": mariadb.create_database("maim"), "REDIS_URL": redis.url}


class Pass:
    """A pass in a process that begins at once."""

    def __init__(self, plan: Plan, servers: dict[str, str], directory: Path) -> None:
        self.plan = plan
        data = Path(tempfile.mkdtemp(dir=directory))
        self._output = data / "output"
        settings = {
            "MAIM_DATA_DIR": str(data),
            "MAIM_SECRET_KEY": "a secret key for tests, thirty-two or more",
            "MAIM_KEY_PEPPERS": "1:a key secret for tests of thirty-two or more",
            "MAIM_ENCRYPTION_KEYS": "YSBmZXJuZXQga2V5IGZvciB0ZXN0cyBvZiAzMiBieXQ=",
            **{name: value for name, value in servers.items() if value},
        }
        # Of the many processes that tests start, none but the first shall have to compile what it imports.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                ["nice", "-n", str(plan.niceness), sys.executable, "-m", "pytest", "-m", plan.chosen, *plan.arguments],
                cwd=ROOT,
                env={**inherited, **settings},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def end(self) -> None:
        """Kill the process, if it still runs because something else has failed."""
        self._process.kill()

    def wait(self) -> int:
        """Show what pytest prints, as it comes, and return its exit code. The code of a signal is negative."""
        print(f"=== tests on {self.plan.title}", flush=True)
        with self._output.open(encoding="utf-8", errors="replace") as output:
            while self._process.poll() is None:
                sys.stdout.write(output.read())
                sys.stdout.flush()
                time.sleep(0.2)
            sys.stdout.write(output.read())
            sys.stdout.flush()
        code = self._process.returncode
        if code < 0:
            print(f"=== signal {-code} killed the tests on {self.plan.title}", flush=True)
        return code


def exit_code(codes: Sequence[tuple[Plan, int]]) -> int:
    """Return the exit code of a run: the highest of its passes', without those that are empty and may be.

    If all are, no test was found. A signal's code is negative, and counts as 128 plus its number, as in a shell.
    """
    counted = [code for plan, code in codes if not (code == NO_TESTS and plan.may_be_empty)]
    return max([128 - code if code < 0 else code for code in counted], default=NO_TESTS)


def missing_packages(*, servers: bool) -> list[str]:
    """Return the Debian packages that MariaDB and Redis, and tests on them, lack on this machine."""
    missing = [*MariaDB.missing(), *Redis.missing()] if servers else []
    if importlib.util.find_spec("MySQLdb") is None:
        needs: dict[str, Callable[[], bool]] = {
            "gcc": lambda: shutil.which("gcc") is not None,
            "pkg-config": lambda: shutil.which("pkg-config") is not None,
            "libmariadb-dev": lambda: shutil.which("mariadb_config") is not None,
            "python3-dev": lambda: Path(sysconfig.get_path("include"), "Python.h").exists(),
        }
        missing += [package for package, there in needs.items() if not there()]
    return missing


def install(packages: list[str]) -> bool:
    """Install Debian packages. Return whether that was allowed, and worked."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print(f"installing {' '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    wanted = ["install", "-y", "-qq", "--no-install-recommends", *packages]
    for command in (["update", "-qq"], wanted):
        if subprocess.run(["apt-get", *command], env=environment, check=False, stdout=subprocess.DEVNULL).returncode:
            return False
    return True


def install_mysqlclient() -> None:
    """Install Python's MySQL driver, which the embedded default does without, unless it is there."""
    if importlib.util.find_spec("MySQLdb") is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "-r", str(ROOT / "requirements.txt")], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
