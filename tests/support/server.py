"""A real `manage.py serve`, with a database of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from tests.support.instances import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]


def fresh_database_url(directory: Path, name: str) -> str:
    """An empty database of the kind this run is on: SQLite, or MariaDB beside the one in DATABASE_URL."""
    given = os.environ.get("DATABASE_URL", "")
    if not given.startswith("mysql:"):
        return f"sqlite:///{directory / f'{name}.sqlite3'}"
    import MySQLdb  # only where the run is on MariaDB

    parts = urlsplit(given)
    connection = MySQLdb.connect(
        host=parts.hostname, port=parts.port or 3306, user=parts.username, password=parts.password or ""
    )
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
        cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
    connection.close()
    return parts._replace(path=f"/{name}").geturl()


class MaimServer:
    """`manage.py serve` on free ports, its log in a file."""

    def __init__(self, directory: Path, name: str, **environment: str) -> None:
        self.directory = directory
        self.log_path = directory / f"{name}.log"
        self.public_port, self.internal_port = free_port(), free_port()
        self.environment = {
            **os.environ,
            "MAIM_PUBLIC_BIND": f"127.0.0.1:{self.public_port}",
            "MAIM_INTERNAL_BIND": f"127.0.0.1:{self.internal_port}",
            "MAIM_DATA_DIR": str(directory),
            "MAIM_SECRET_KEY": "a secret key for tests, thirty-two or more",
            "MAIM_KEY_SECRETS": "1:a key secret for tests of thirty-two or more",
            "MAIM_AUTH_RATE": "off",
            "DATABASE_URL": fresh_database_url(directory, name),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

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
    def log(self) -> str:
        return self.log_path.read_text()

    def manage(self, *arguments: str, **environment: str) -> str:
        """Runs a management command against the server's database; its standard output."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def start(self) -> None:
        """Migrates, starts, and waits until both surfaces answer."""
        self.manage("migrate", "-v0")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        try:
            wait_until(lambda: self._process is None or "maim is ready" in self.log or self._ended(), "maim is ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log}") from None
        if self._ended():
            raise RuntimeError(f"maim did not start:\n{self.log}")

    def stop(self, signum: int = signal.SIGTERM, seconds: float = 12) -> int:
        """Stops the server; its exit code."""
        assert self._process is not None
        if not self._ended():
            self._process.send_signal(signum)
        return self._process.wait(seconds)

    def client(self, surface: str = "public") -> httpx.Client:
        """An HTTP client of one surface."""
        return httpx.Client(base_url=getattr(self, surface), timeout=30)

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ended():
            self.stop()
