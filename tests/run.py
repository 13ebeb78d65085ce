"""`make test`: the whole suite twice, on SQLite and on MariaDB with Redis.

The servers are private and throw-away, on free loopback ports. Where their programs are missing they
are installed if that is allowed (root, apt-get), and otherwise left out with a line that says so. With
DATABASE_URL (and REDIS_URL) in the environment, the second pass uses those servers instead.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.support.instances import MariaDB, Redis

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Runs both passes; the exit code of the first that failed, else 0."""
    given_database, given_redis = os.environ.pop("DATABASE_URL", ""), os.environ.pop("REDIS_URL", "")
    given = given_database.startswith("mysql:")
    missing = _missing(servers=not given)
    if missing and not _install(missing):
        print(f"left out: the pass on MariaDB and Redis, for want of {' '.join(missing)} (not root, or no apt-get)")
        return _pytest("SQLite", {}, arguments)
    _install_mysqlclient()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maim-test-")))
        directory.chmod(0o755)  # mariadbd runs as another user
        environment = {"DATABASE_URL": given_database, "REDIS_URL": given_redis}
        if not given:
            mariadb, redis = MariaDB(directory / "mariadb"), Redis(directory / "redis")
            stack.callback(mariadb.stop)
            stack.callback(redis.stop)
            mariadb.start()
            redis.start()
            environment = {"DATABASE_URL": mariadb.create_database("maim"), "REDIS_URL": redis.url}
        failed = _pytest("SQLite", {}, arguments)
        return _pytest("MariaDB and Redis", environment, arguments) or failed


def _pytest(title: str, environment: dict[str, str], arguments: list[str]) -> int:
    print(f"=== tests on {title}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="maim-data-") as data:
        code = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "MAIM_DATA_DIR": data,
                "MAIM_SECRET_KEY": "a secret key for tests, thirty-two or more",
                "MAIM_KEY_SECRETS": "1:a key secret for tests of thirty-two or more",
                **{name: value for name, value in environment.items() if value},
            },
            check=False,
        ).returncode
    print(f"=== {title}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return code


def _missing(*, servers: bool) -> list[str]:
    """The Debian packages that the second pass lacks on this machine."""
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


def _install(packages: list[str]) -> bool:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print(f"installing {' '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "-qq"], install):
        if subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL).returncode:
            return False
    return True


def _install_mysqlclient() -> None:
    if importlib.util.find_spec("MySQLdb") is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "-r", str(ROOT / "requirements.txt")], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
