"""Temporary MariaDB and Redis servers on free loopback ports, each with its own data directory."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

USER = PASSWORD = "maim"
# Seconds that tests wait for what comes sooner unless something is broken, however busy the machine is.
WAIT = 120


_given_ports: set[int] = set()


def free_port() -> int:
    """Return a free TCP port, which this process has not been given before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def wait_until(condition: Callable[[], bool], what: str, seconds: float = WAIT) -> None:
    """Poll `condition` until it is true. Raise TimeoutError that names `what`."""
    deadline = time.monotonic() + seconds
    asked = time.monotonic()
    while not condition():
        now = time.monotonic()
        if now > deadline:
            raise TimeoutError(f"{what} within {seconds} s")
        # Whatever is expensive to ask is asked less often, to leave the processor to what is waited for.
        time.sleep(min(max(0.02, 3 * (now - asked)), 0.5))
        asked = time.monotonic()


@contextmanager
def frozen(instance: MariaDB | Redis) -> Iterator[None]:
    """Stop a server like a machine that hangs: it accepts connections and does not respond."""
    os.kill(instance.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: _is_stopped(instance.pid), "every thread stands still")
        yield
    finally:
        os.kill(instance.pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return set(states) == {"T"}


def _can_connect(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class MariaDB:
    """A MariaDB server. `url(name)` is the URL of one of its databases."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> list[str]:
        """Return the missing Debian packages."""
        return [] if shutil.which("mariadbd") and shutil.which("mariadb-install-db") else ["mariadb-server"]

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def install(self) -> None:
        """Create the data directory."""
        data, owner = self._data, self._owner()
        data.mkdir(parents=True)
        if owner:
            shutil.chown(self.directory, *owner)
            shutil.chown(data, *owner)
        installed = subprocess.run(
            [
                *self._as_owner(),
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert installed.returncode == 0, installed.stdout

    def copy(self, directory: Path, *options: str) -> MariaDB:
        """Return another server with a copy of this one's data directory, before this one is started."""
        # A copy takes a fraction of the time of an installation.
        subprocess.run(["cp", "--archive", self.directory, directory], check=True)
        return MariaDB(directory, *options)

    def start(self) -> None:
        """Create the data directory if it is missing, start the server, and wait until it is ready."""
        data = self._data
        if not data.exists():
            self.install()
        self._process = subprocess.Popen(
            [
                *self._as_owner(),
                "mariadbd",
                "--no-defaults",
                f"--datadir={data}",
                # Its own directory, because a starting server deletes all temporary tables in it.
                f"--tmpdir={self.directory}",
                f"--socket={self._socket}",
                f"--port={self.port}",
                "--bind-address=127.0.0.1",
                f"--log-error={self.directory / 'error.log'}",
                "--skip-name-resolve",
                "--character-set-server=utf8mb4",
                "--collation-server=utf8mb4_unicode_ci",
                "--innodb-flush-log-at-trx-commit=2",
                "--innodb-buffer-pool-size=128M",
                "--max-connections=300",
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: self.sql("SELECT 1").returncode == 0, "MariaDB answers")
        self.sql(f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
        self.sql(f"GRANT ALL ON *.* TO '{USER}'@'%'")

    def create_database(self, name: str) -> str:
        """Create an empty database, and return its URL."""
        self.sql(f"DROP DATABASE IF EXISTS `{name}`; CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(WAIT)

    def kill(self) -> None:
        """Kill the server, like a power cut."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(WAIT)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _socket(self) -> Path:
        return self.directory / "s.sock"

    @staticmethod
    def _owner() -> tuple[str, str] | None:
        """Return the user to run as, because mariadbd refuses root. Debian's package has a user for it."""
        if os.geteuid() != 0:
            return None
        try:
            pwd.getpwnam("mysql")
        except KeyError:
            return None
        return "mysql", "mysql"

    def _as_owner(self) -> list[str]:
        return ["setpriv", "--reuid=mysql", "--regid=mysql", "--clear-groups"] if self._owner() else []

    def sql(self, statement: str) -> subprocess.CompletedProcess[bytes]:
        """Run statements as root, and return the completed client, whose output has no headings."""
        return subprocess.run(
            ["mariadb", "--no-defaults", "-S", str(self._socket), "-uroot", "-N", "-e", statement],
            check=False,
            capture_output=True,
        )


class Redis:
    """A Redis server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> list[str]:
        """Return the missing Debian packages."""
        return [] if shutil.which("redis-server") else ["redis-server"]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [
                "redis-server",
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--dir",
                str(self.directory),
                "--save",
                "",
                "--appendonly",
                "no",
                # A replica need not wait for others.
                "--repl-diskless-sync-delay",
                "0",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: _can_connect(self.port), "Redis answers")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(WAIT)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(WAIT)
