"""Files that commands write."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from django.db import Error


def create_private(name: str | Path) -> TextIO:
    """Create a file that only its owner can read, and open it for writing. Raise OSError, also if it exists."""
    return open(_create(name), "w", encoding="utf-8")


def _create(name: str | Path) -> int:
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


class SecretFile:
    """A new file of mode 0600 for secrets, which are written before the transaction that issues them commits.

    A secret that is lost cannot be read again. So written secrets are erased only if their transaction was certainly
    rolled back: an error of the database, or an interrupt, may come after the commit, and keeps them.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._committed_bytes = 0

    def __enter__(self) -> Self:
        """Create the file. Raise OSError, also if it exists."""
        self._file = os.fdopen(_create(self._path), "wb", buffering=0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None and issubclass(kind, Exception) and not issubclass(kind, Error):
            self._discard_uncommitted()
        is_empty = self._file.tell() == 0
        self._file.close()
        if is_empty:
            os.unlink(self._path)

    def write(self, secrets: bytes) -> None:
        """Write secrets in place of those not marked as committed. Raise OSError if they do not all get to the disk."""
        left = memoryview(secrets)
        try:
            self._discard_uncommitted()
            while left:  # a disk that is nearly full takes a part
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            error.filename = str(self._path)
            raise

    def mark_committed(self) -> None:
        """Keep what was written for good, because its transaction has committed."""
        self._committed_bytes = self._file.tell()

    def _discard_uncommitted(self) -> None:
        self._file.seek(self._committed_bytes)
        self._file.truncate()
