"""Galera: several MariaDB servers as one (multi-primary, virtually synchronous).

A commit on one node is applied on the others a moment later. A session that reads right after must see
it all the same, or the promise of maim.common.epoch would hold on one node only; `wsrep_sync_wait` makes
its reads wait for what was committed anywhere before.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

READS = 1  # the bit for SELECT (MariaDB: wsrep_sync_wait)


def wait_for_other_nodes(sender: Any, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Of a new connection to a Galera node, makes the reads see what every node has committed."""
    if connection.vendor != "mysql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SHOW VARIABLES LIKE 'wsrep_on'")
        row = cursor.fetchone()
        if row is not None and row[1] == "ON":
            cursor.execute(f"SET SESSION wsrep_sync_wait = @@wsrep_sync_wait | {READS}")
