"""A private MariaDB and Redis, and databases with keys in them."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.support.instances import PASSWORD, USER, MariaDB, Redis
from tests.support.migrated import make_migrated

ROOT = Path(__file__).resolve().parent.parent

MAX_CONNECTIONS = 2_000


@dataclass(frozen=True)
class Population:
    """The size of a database: keys with a known secret, and copies of each that are never requested.

    `settings` are environment variables of a maim that runs on it. With `is_demo`, everything that `manage.py demo`
    makes is there, and the secrets of its samples are known.
    """

    name: str
    keys: int
    limited: bool = False
    copies: int = 0
    is_on_sqlite: bool = False
    is_demo: bool = False
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def all_keys(self) -> int:
        return self.keys * (1 + self.copies)


@dataclass(frozen=True)
class Key:
    """A seeded key."""

    id: str
    secret: str


class Credentials(NamedTuple):
    """The name and the password of somebody who may sign in."""

    username: str
    password: str


@dataclass(frozen=True)
class Seeded:
    """A seeded database, and the environment of a maim that runs on it."""

    environment: dict[str, str]
    keys: list[Key]
    operator: Credentials | None = None


class Databases:
    """The two servers and the seeded databases. A context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Servers that are stopped keep their connections.
        self._mariadb = MariaDB(directory / "mariadb", f"--max-connections={MAX_CONNECTIONS}")
        self._redis = Redis(directory / "redis")
        self._seeded: dict[Population, Seeded] = {}
        self._connection: Any = None

    def __enter__(self) -> Self:
        import MySQLdb  # installed by now

        self._mariadb.start()
        self._redis.start()
        self._connection = MySQLdb.connect(
            host="127.0.0.1", port=self._mariadb.port, user=USER, password=PASSWORD, autocommit=True
        )
        # A buffer pool for a million keys, and counters of the rows read from each table.
        self._run("SET GLOBAL innodb_buffer_pool_size = 1 << 30")
        self._run("SET GLOBAL userstat = 1")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mariadb.stop()
        self._redis.stop()

    def seeded(self, population: Population) -> Seeded:
        """Return the database of this population; seed it on the first call."""
        if population not in self._seeded:
            self._seeded[population] = self._seed(population)
        return self._seeded[population]

    def empty(self, name: str) -> dict[str, str]:
        """Return the environment of a program with an empty database of this name."""
        return {"DATABASE_URL": self._mariadb.create_database(name), "REDIS_URL": self._redis.url}

    def statements(self) -> int:
        """Return the number of statements that MariaDB has received since its start."""
        return int(self._row("SHOW GLOBAL STATUS LIKE 'Questions'")[1])

    def secrets_read(self) -> int:
        """Return the number of rows of key secrets that MariaDB has read since its start."""
        tables = "FROM information_schema.table_statistics WHERE table_name = 'apikeys_keysecret'"
        return int(self._row(f"SELECT COALESCE(SUM(rows_read), 0) {tables}")[0])

    def mariadb_version(self) -> str:
        return str(self._row("SELECT VERSION()")[0])

    def _run(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    def _row(self, statement: str) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()

    def _seed(self, population: Population) -> Seeded:
        print(f"seeding {population.all_keys:,} keys", flush=True)
        name = population.name
        environment = {
            "DATABASE_URL": self._empty_database(population),
            "REDIS_URL": "" if population.is_on_sqlite else self._redis.url,
            "MAIM_SECRET_KEY": secrets.token_urlsafe(48),
            "MAIM_KEY_PEPPERS": f"1:{secrets.token_urlsafe(48)}",
            "MAIM_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            **dict(population.settings),
        }
        path = self._directory / name
        options = ["--limited"] * population.limited + ["--copies", str(population.copies)]
        make_migrated(environment["DATABASE_URL"], _command(environment, "manage.py", "migrate", "--verbosity", "0"))
        if population.is_demo:
            return _seed_demo(environment, population.keys)
        _command(environment, "-m", "bench.seed", str(path), str(population.keys), *options)()
        if not population.is_on_sqlite:
            # Write to disk now, not during a measurement.
            tables = ", ".join(f"{name}.{table}" for table in ("apikeys_apikey", "apikeys_keysecret"))
            self._run(f"FLUSH TABLES {tables} FOR EXPORT")
            self._run("UNLOCK TABLES")
        return Seeded(environment, [Key(*line.split()) for line in path.read_text().splitlines()])

    def _empty_database(self, population: Population) -> str:
        if not population.is_on_sqlite:
            return self._mariadb.create_database(population.name)
        file = self._directory / f"{population.name}.sqlite3"
        file.unlink(missing_ok=True)  # what a failed seeding has left
        return f"sqlite:///{file}"


def _seed_demo(environment: dict[str, str], keys: int) -> Seeded:
    """Fill an empty, migrated database by `manage.py demo`."""
    arguments = [sys.executable, "manage.py", "demo", "--keys", str(keys), "--yes", "--json"]
    made = subprocess.run(
        arguments, cwd=ROOT, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE, text=True
    )
    document = json.loads(made.stdout)
    operator = next(each for each in document["sign_in"] if each["where"] == "/admin/")
    samples = [Key(each["kind"], each["api_key"]) for each in document["api_keys"] if each["verdict"] == "VALID"]
    return Seeded(environment, samples, Credentials(operator["username"], operator["password"]))


def _command(environment: dict[str, str], *arguments: str) -> Callable[[], object]:
    """Return a function that runs a command of ours in this environment."""
    environment = {**os.environ, **environment}
    return lambda: subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True)
