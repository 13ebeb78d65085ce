"""The backend's DatabaseWrapper, under the name that Django looks for.

After a failover, connections to the former primary may stay open where a proxy or a virtual IP address leads only
new ones to the server that took over. The former primary's data may be old. So a connection is closed and reopened
if its server takes no writes, if another connection of this process met another server, or if it is older than
CONN_MAX_AGE.

On Galera (several MariaDB servers as one) a commit on one node is applied on the others a moment later. A session
that reads right after must see it, or the guarantee of core.epoch would hold on one node only. `wsrep_sync_wait`
makes its reads wait for everything committed before. With `wsrep_dirty_reads` off, a node that lost the others
answers no reads.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, ClassVar

import MySQLdb
from django.db.backends.mysql import base
from MySQLdb.constants import FIELD_TYPE

from core.primary import READ_ONLY

_READS = 1  # wsrep_sync_wait's bit for SELECT

# MariaDB has announced that names will replace 0 and 1.
_IS_WRITABLE = "CAST(@@global.read_only AS CHAR) IN ('0', 'OFF')"
# For a Galera node. MariaDB and MySQL keep its status in different schemas.
_IS_IN_CLUSTER = (
    "@@global.wsrep_on AND 'ON' = (SELECT VARIABLE_VALUE FROM {}.GLOBAL_STATUS WHERE VARIABLE_NAME = 'wsrep_ready')"
)
_IDENTITY_VARIABLES = "'hostname', 'port', 'server_id', 'server_uid', 'server_uuid', 'wsrep_provider'"

Server = tuple[str, ...]


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that follows the primary."""

    # The server of this process's newest connection.
    newest: ClassVar[Server] = ()

    server: Server = ()  # an identity of the server; the nodes of a Galera cluster have the same
    is_writable_sql = _IS_WRITABLE  # an expression that is 1 where the server takes writes
    proven_at = float("-inf")  # when the server last proved that it takes writes

    def get_connection_params(self) -> dict[str, Any]:
        """Return the driver's parameters, but convert times in C: twelve times as quick as the driver does."""
        params: dict[str, Any] = super().get_connection_params()
        return {**params, "conv": {**params["conv"], FIELD_TYPE.DATETIME: datetime.fromisoformat}}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Return a new connection. Raise OperationalError if its server takes no writes."""
        connection = super().get_new_connection(conn_params)
        sent = time.monotonic()
        try:
            self._identify(connection)
        except BaseException:
            connection.close()
            raise
        self.proven_at = sent
        DatabaseWrapper.newest = self.server
        return connection

    def is_usable(self) -> bool:
        """Return whether the server answers and takes writes, in one round trip, as a ping takes."""
        try:
            return _takes_writes(self.connection, self.is_writable_sql)
        except MySQLdb.Error:
            return False

    def close_if_unusable_or_obsolete(self) -> None:
        """Close the connection also if a newer one is to another server."""
        if self.connection is not None and self.server != self.newest:
            self.close()
        super().close_if_unusable_or_obsolete()

    def _start_transaction_under_autocommit(self) -> None:
        """Begin a transaction without switching autocommit off and on again, which is one round trip more."""
        with self.wrap_database_errors:
            self.connection.begin()

    def _identify(self, connection: Any) -> None:
        """Store the identity of the server, and make the session's reads wait for the cluster on Galera."""
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({_IDENTITY_VARIABLES})")
            found: dict[str, str] = dict(cursor.fetchall())
            if found.pop("wsrep_provider", "none") in ("none", ""):
                self.server, self.is_writable_sql = tuple(found.values()), _IS_WRITABLE
            else:
                cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_state_uuid'")
                self.server = cursor.fetchone()
                is_mariadb = "mariadb" in connection.get_server_info().lower()
                schema = "information_schema" if is_mariadb else "performance_schema"
                self.is_writable_sql = f"{_IS_WRITABLE} AND {_IS_IN_CLUSTER.format(schema)}"
                cursor.execute(f"SET SESSION wsrep_dirty_reads = OFF, wsrep_sync_wait = @@wsrep_sync_wait | {_READS}")
        if not _takes_writes(connection, self.is_writable_sql):
            raise MySQLdb.OperationalError(
                READ_ONLY, "The server takes no writes: it is read-only or not in its cluster"
            )


def _takes_writes(connection: Any, is_writable_sql: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {is_writable_sql}")
        return bool(cursor.fetchone()[0])
