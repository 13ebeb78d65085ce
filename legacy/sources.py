"""Old databases by their URLs, and connections to them."""

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
    """An old database cannot be used. The message says which, why, and what to do. It quotes no password."""


@dataclass(frozen=True, slots=True)
class Source:
    """The URL of an old database. It is shown without its password."""

    url: str

    def __str__(self) -> str:
        # Up to the last @, because a password that is not quoted may contain @ and /.
        return _PASSWORD.sub(r"\1…@", self.url)

    __repr__ = __str__

    @property
    def is_mysql(self) -> bool:
        """True for MySQL and MariaDB, False for SQLite. Raise SourceError for anything else."""
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

        The host does not count, because one server has many names. Raise SourceError.
        """
        name = f"mysql {_parsed(self)['NAME']}" if self.is_mysql else f"sqlite {os.fspath(self.path.resolve())}"
        return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def connect_mysql(source: Source, **options: Any) -> Any:
    """Return an open MySQL or MariaDB connection. Raise SourceError for a bad URL, and what the driver raises."""
    import MySQLdb  # not installed if only SQLite is used (see require_mysql)
    from MySQLdb.constants import FIELD_TYPE
    from MySQLdb.converters import conversions

    # Times stay text, because the driver would turn an invalid one such as 0000-00-00 into NULL.
    times = dict.fromkeys((FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP, FIELD_TYPE.DATE, FIELD_TYPE.TIME), str)
    settings = _parsed(source)
    try:
        return MySQLdb.connect(
            host=settings["HOST"],
            port=int(settings["PORT"] or 3306),
            user=settings["USER"],
            password=settings["PASSWORD"],
            database=settings["NAME"],
            **{
                **settings.get("OPTIONS", {}),
                "charset": "utf8mb4",
                "connect_timeout": 10,
                "conv": {**conversions, **times},
                **options,
            },
        )
    except TypeError as error:  # for unknown options in the URL
        raise SourceError(f"{source}: {error}") from error


def require_mysql(source: Source) -> None:
    """Raise SourceError if the MySQL driver is not installed (docs/decisions/0010-requirement-files.md)."""
    try:
        import MySQLdb  # noqa: F401  # only whether it can be imported
    except ImportError as error:
        raise SourceError(f"{source}: mysqlclient is needed to read it: pip install -r requirements.txt") from error


def _parsed(source: Source) -> dict[str, Any]:
    try:
        return dict(dj_database_url.parse(f"mysql://{source.url.partition('://')[2]}"))
    except (dj_database_url.ParseError, ValueError) as error:
        raise SourceError(f"{source}: {error}") from error
