"""A private MariaDB and Redis, and databases with keys in them."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.instances import PASSWORD, USER, MariaDB, Redis

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Population:
    """The size of a database: keys with a known secret, and copies of each that are never requested."""

    name: str
    keys: int
    limited: bool = False
    copies: int = 0


TEN_THOUSAND = Population("ten_thousand", 10_000)
LIMITED = Population("limited", 10_000, limited=True)
MORE_THAN_REMEMBERED = Population("more_than_remembered", 150_000)
MILLION = Population("million", 10_000, copies=99)


@dataclass(frozen=True)
class Key:
    """A seeded key."""

    id: str
    secret: str


@dataclass(frozen=True)
class Seeded:
    """A seeded database, and the environment of a maim that runs on it."""

    environment: dict[str, str]
    keys: list[Key]


class Databases:
    """The two servers and the seeded databases. A context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mariadb, self._redis = MariaDB(directory / "mariadb"), Redis(directory / "redis")
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
        print(f"seeding {population.keys * (1 + population.copies):,} keys", flush=True)
        environment = {
            "DATABASE_URL": self._mariadb.create_database(population.name),
            "REDIS_URL": self._redis.url,
            "MAIM_SECRET_KEY": secrets.token_urlsafe(48),
            "MAIM_KEY_PEPPERS": f"1:{secrets.token_urlsafe(48)}",
            "MAIM_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        path = self._directory / population.name
        options = ["--limited"] * population.limited + ["--copies", str(population.copies)]
        for command in (
            ["manage.py", "migrate", "--verbosity", "0"],
            ["-m", "bench.seed", str(path), str(population.keys), *options],
        ):
            subprocess.run([sys.executable, *command], cwd=ROOT, env={**os.environ, **environment}, check=True)
        # Write to disk now, not during a measurement.
        tables = ", ".join(f"{population.name}.{table}" for table in ("apikeys_apikey", "apikeys_keysecret"))
        self._run(f"FLUSH TABLES {tables} FOR EXPORT")
        self._run("UNLOCK TABLES")
        return Seeded(environment, [Key(*line.split()) for line in path.read_text().splitlines()])
