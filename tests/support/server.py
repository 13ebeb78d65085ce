"""A real `manage.py serve` with a database of its own."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx
import psutil

from tests.support import processes
from tests.support.http import http_client
from tests.support.instances import WAIT, free_port, wait_until
from tests.support.migrated import make_migrated
from tests.support.processes import Process

ROOT = Path(__file__).resolve().parents[2]
# Values of DJANGO_SETTINGS_MODULE, with the shipped password hasher and with a quick one.
SETTINGS, QUICK_SETTINGS = "maim.settings", "tests.support.quick_settings"
ON_MARIADB = os.environ.get("DATABASE_URL", "").startswith("mysql:")
HAS_REDIS = bool(os.environ.get("REDIS_URL"))


def fresh_database_url(directory: Path, name: str) -> str:
    """Return the URL of an empty database: SQLite, or on MariaDB one beside that in DATABASE_URL."""
    if not ON_MARIADB:
        return f"sqlite:///{directory / f'{name}.sqlite3'}"
    import MySQLdb  # only where the run is on MariaDB

    parts = urlsplit(os.environ["DATABASE_URL"])
    connection = MySQLdb.connect(
        host=parts.hostname, port=parts.port or 3306, user=parts.username, password=parts.password or ""
    )
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
        cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
    connection.close()
    return parts._replace(path=f"/{name}").geturl()


class MaimServer:
    """`manage.py serve` on free ports with its log in a file. `serve` replaces these arguments for Python."""

    def __init__(
        self, directory: Path, name: str, *, serve: Sequence[str] = ("manage.py", "serve"), **environment: str
    ) -> None:
        self.directory = directory
        self.log_path = directory / f"{name}.log"
        self.public_port, self.internal_port = free_port(), free_port()
        self.environment = {
            **os.environ,
            "MAIM_PUBLIC_BIND": f"127.0.0.1:{self.public_port}",
            "MAIM_INTERNAL_BIND": f"127.0.0.1:{self.internal_port}",
            "MAIM_DATA_DIR": str(directory),
            "MAIM_SECRET_KEY": "a secret key for tests, thirty-two or more",
            "MAIM_KEY_PEPPERS": "1:a key secret for tests of thirty-two or more",
            "MAIM_ENCRYPTION_KEYS": "YSBmZXJuZXQga2V5IGZvciB0ZXN0cyBvZiAzMiBieXQ=",
            "MAIM_AUTH_RATE": "off",
            "DJANGO_SETTINGS_MODULE": QUICK_SETTINGS,
            **environment,
        }
        if "DATABASE_URL" not in environment:
            self.environment["DATABASE_URL"] = fresh_database_url(directory, name)
        self._serve = serve
        self._starts = 0
        self._process: Process | None = None

    @property
    def public(self) -> str:
        return f"http://127.0.0.1:{self.public_port}"

    @property
    def internal(self) -> str:
        return f"http://127.0.0.1:{self.internal_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def auditor(self) -> psutil.Process:
        """The process that chains audit entries: the sender of mails starts before it."""
        return self._background[1]

    @property
    def bulk_worker(self) -> psutil.Process:
        """The process that carries out bulk operations, which starts after the auditor."""
        return self._background[2]

    @property
    def _background(self) -> list[psutil.Process]:
        """The children of `serve` that have no children, in the order of their start."""
        background = [child for child in psutil.Process(self.pid).children() if not child.children()]
        return sorted(background, key=lambda child: child.pid)

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def workers(self, surface: str) -> list[int]:
        """Return the ids of a surface's workers from the log, oldest first, including dead ones."""
        return [int(pid) for pid in re.findall(rf"{surface} worker (\d+) serves", self.log)]

    def manage(self, *arguments: str, **environment: str) -> str:
        """Run a management command on the server's database, and return its standard output."""
        ended = processes.run(["manage.py", *arguments], {**self.environment, **environment})
        ended.check_returncode()
        return ended.stdout

    def migrate(self) -> None:
        """Create the tables of an empty database."""
        make_migrated(self.environment["DATABASE_URL"], lambda: self.manage("migrate", "-v0"))

    def start(self) -> None:
        """Migrate, start, and wait until both surfaces are healthy."""
        self.migrate()
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start on a migrated database."""
        self._starts += 1
        self._process = processes.start(self._serve, self.environment, self.log_path)

    def wait_until_ready(self) -> None:
        """Wait until both surfaces are healthy."""
        try:
            wait_until(lambda: self.log.count("maim is ready") == self._starts or self._ended(), "maim is ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log}") from None
        if self._ended():
            raise RuntimeError(f"maim did not start:\n{self.log}")

    def stop(self, signum: int = signal.SIGTERM, seconds: float = WAIT) -> int:
        """Stop the server, and return its exit code."""
        assert self._process is not None
        if not self._ended():
            self._process.send_signal(signum)
        return self._process.wait(seconds)

    def wait(self, seconds: float = WAIT) -> int:
        """Wait until the server ends by itself, and return its exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def client(self, surface: str = "public") -> httpx.Client:
        """Return an HTTP client of one surface."""
        return http_client(getattr(self, surface))

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and not self._ended():
            self.stop()


@contextmanager
def cluster(directory: Path, name: str, number: int, **environment: str) -> Iterator[list[MaimServer]]:
    """Start servers on one database together, like machines behind a load balancer."""
    first = MaimServer(directory, name, **environment)
    shared = {**environment, "DATABASE_URL": first.environment["DATABASE_URL"]}
    servers = [first, *(MaimServer(directory, f"{name}_{each}", **shared) for each in range(1, number))]
    with ExitStack() as stack:
        first.migrate()
        for maim in servers:
            stack.push(maim)
            maim.launch()
        for maim in servers:
            maim.wait_until_ready()
        yield servers
