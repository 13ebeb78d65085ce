"""A MariaDB and a Redis of one test, which can stop them while servers use them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.instances import MariaDB, Redis


@dataclass(frozen=True)
class Dependencies:
    """The database and Redis of a deployment, and a directory."""

    directory: Path
    mariadb: MariaDB
    redis: Redis

    def environment(self) -> dict[str, str]:
        """Return the environment of servers on an empty database."""
        return {"DATABASE_URL": self.mariadb.create_database("maim"), "REDIS_URL": self.redis.url}


@contextmanager
def own_dependencies() -> Iterator[Dependencies]:
    """Start both. Skip the test if a package is missing."""
    missing = [*MariaDB.missing(), *Redis.missing(), *([] if find_spec("MySQLdb") else ["mysqlclient"])]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)  # mariadbd runs as another user
        mariadb, redis = MariaDB(directory / "mariadb"), Redis(directory / "redis")
        for instance in (mariadb, redis):
            instance.start()
            stack.callback(instance.stop)
        yield Dependencies(directory, mariadb, redis)
