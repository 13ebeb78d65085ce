"""Where the old databases are, and connections to them."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dj_database_url

_PASSWORD = re.compile(r"(://[^:/]*:).*@", re.DOTALL)


class SourceError(Exception):
    """An old database cannot be used; the text says which, why, and what to do. It quotes no password."""


@dataclass(frozen=True, slots=True)
class Source:
    """The URL of an old database; shown without its password."""

    url: str

    def __str__(self) -> str:
        # Up to the last @: a password that is not quoted may have what else would end it.
        return _PASSWORD.sub(r"\1…@", self.url)

    __repr__ = __str__

    @property
    def is_mysql(self) -> bool:
        """Tell MySQL and MariaDB from SQLite. Raise SourceError for anything else."""
        scheme = self.url.partition("://")[0].partition("+")[0]
        if scheme not in ("sqlite", "mysql", "mariadb"):
            raise SourceError(f"{self}: write sqlite:///PATH or mysql://USER:PASSWORD@HOST:PORT/NAME")
        return scheme != "sqlite"

    @property
    def path(self) -> Path:
        """The file of an SQLite database, which may be missing."""
        return Path(self.url.partition("://")[2][1:])

    @property
    def identity(self) -> str:
        """A digest of the database's name or file, the same for every user, host name and spelling.

        Without the host, because one server has many names. Raise SourceError.
        """
        name = f"mysql {_parsed(self)['NAME']}" if self.is_mysql else f"sqlite {os.fspath(self.path.resolve())}"
        return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def connect_mysql(source: Source, **options: Any) -> Any:
    """Open a MySQL or MariaDB connection. Raise SourceError for a bad URL, and what the driver raises."""
    import MySQLdb  # missing where only SQLite is used (see require_mysql)
    from MySQLdb.constants import FIELD_TYPE
    from MySQLdb.converters import conversions

    # As they are written: the driver takes one that is no time, as 0000-00-00 is none, for no time at all.
    times = dict.fromkeys((FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP, FIELD_TYPE.DATE, FIELD_TYPE.TIME), str)
    target = _parsed(source)
    try:
        return MySQLdb.connect(
            host=target["HOST"],
            port=int(target["PORT"] or 3306),
            user=target["USER"],
            password=target["PASSWORD"],
            database=target["NAME"],
            **{
                **target.get("OPTIONS", {}),
                "charset": "utf8mb4",
                "connect_timeout": 10,
                "conv": {**conversions, **times},
                **options,
            },
        )
    except TypeError as error:  # about the URL's options
        raise SourceError(f"{source}: {error}") from error


def require_mysql(source: Source) -> None:
    """Raise SourceError where the MySQL driver is not installed (docs/decisions/0010-requirement-files.md)."""
    try:
        import MySQLdb  # noqa: F401
    except ImportError as error:
        raise SourceError(f"{source}: reading it wants mysqlclient; pip install -r requirements.txt") from error


def _parsed(source: Source) -> dict[str, Any]:
    try:
        return dict(dj_database_url.parse(f"mysql://{source.url.partition('://')[2]}"))
    except (dj_database_url.ParseError, ValueError) as error:
        raise SourceError(f"{source}: {error}") from error
