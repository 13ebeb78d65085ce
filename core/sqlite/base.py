"""The backend's DatabaseWrapper, under the name that Django looks for.

SQLite would make the file readable by everybody, and gives its `-wal` and `-shm` files the mode that it has.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that creates a missing database for its owner alone."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        # SQLite explains why a file cannot be created, and a database in memory has none.
        with suppress(OSError):
            if not self.is_in_memory_db():
                os.close(os.open(conn_params["database"], os.O_CREAT | os.O_EXCL, 0o600))
        return super().get_new_connection(conn_params)
