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
    """Who is in a database: keys with a known secret, and as many copies of each that nobody asks for."""

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
    """A key that was seeded."""

    id: str
    secret: str


@dataclass(frozen=True)
class Seeded:
    """A database with keys, and the environment of a maim that runs on it."""

    environment: dict[str, str]
    keys: list[Key]


class Databases:
    """The two servers, and what has been seeded so far. A context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mariadb, self._redis = MariaDB(directory / "mariadb"), Redis(directory / "redis")
        self._seeded: dict[Population, Seeded] = {}
        self._connection: Any = None

    def __enter__(self) -> Self:
        import MySQLdb  # installed by now, where it was missing

        self._mariadb.start()
        self._redis.start()
        self._connection = MySQLdb.connect(
            host="127.0.0.1", port=self._mariadb.port, user=USER, password=PASSWORD, autocommit=True
        )
        # Room for a million keys, as a server that has them is given; and counts of what is read of each table.
        self._run("SET GLOBAL innodb_buffer_pool_size = 1 << 30")
        self._run("SET GLOBAL userstat = 1")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mariadb.stop()
        self._redis.stop()

    def seeded(self, population: Population) -> Seeded:
        """The database of this population, made when it is first asked for."""
        if population not in self._seeded:
            self._seeded[population] = self._seed(population)
        return self._seeded[population]

    def statements(self) -> int:
        """How many statements MariaDB has been sent since it started, by anybody."""
        return int(self._row("SHOW GLOBAL STATUS LIKE 'Questions'")[1])

    def secrets_read(self) -> int:
        """How many secrets of keys MariaDB has found for anybody since it started."""
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
        # Written to disk now, and not while something is measured.
        tables = ", ".join(f"{population.name}.{table}" for table in ("apikeys_apikey", "apikeys_keysecret"))
        self._run(f"FLUSH TABLES {tables} FOR EXPORT")
        self._run("UNLOCK TABLES")
        return Seeded(environment, [Key(*line.split()) for line in path.read_text().splitlines()])
