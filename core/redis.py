"""Connections to Redis that follow the primary.

After a failover, connections to the former primary may stay open where a proxy or a virtual IP address leads only
new ones to the server that took over. So when one connection meets a server that takes no writes, all connections
of this process are reopened before their next use. Each is also reopened when it is older than
MAIM_CONNECTION_MAX_AGE_SECONDS.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from django.conf import settings
from django_redis.pool import ConnectionFactory
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError, ResponseError
from redis.retry import Retry

# Errors of a replica (in a script before Redis 7 as part of the text), of one that lost its primary, and of a primary
# that lost its replicas (min-replicas-to-write).
_REFUSALS = (ReadOnlyError, MasterDownError)
_REFUSING_TEXTS = ("READONLY ", "NOREPLICAS ")

# The number of writes that this process was refused so far.
_refusals = 0


class WriteRefused(ResponseError):
    """A server that takes no writes; nothing was applied. Every connection is reopened before its next use."""


class _PrimaryConnection(Connection):
    """A connection that is reopened, when the pool lends it, if it may no longer be to the primary."""

    _made_at = 0.0
    _made_after = 0

    def connect(self) -> None:
        is_old = time.monotonic() - self._made_at >= settings.CONNECTION_MAX_AGE_SECONDS
        if is_old or self._made_after != _refusals:
            self.disconnect()  # type: ignore[no-untyped-call]  # untyped in the library
        super().connect()  # type: ignore[no-untyped-call]  # untyped in the library

    def _connect(self) -> socket.socket:
        """Return a connected socket. Raise TimeoutError after `socket_connect_timeout`, which covers all of it.

        By itself redis-py would wait so long at each of the host's addresses, after a name lookup without a limit.
        """
        return _connect_within(self.socket_connect_timeout, super()._connect)

    def on_connect_check_health(self, check_health: bool = True) -> None:
        self._made_at, self._made_after = time.monotonic(), _refusals
        super().on_connect_check_health(check_health)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Raise WriteRefused where the server takes no writes."""
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[no-untyped-call]  # untyped in the library
        except ResponseError as error:
            if not isinstance(error, _REFUSALS) and not any(text in str(error) for text in _REFUSING_TEXTS):
                raise
            self._forget_all()
            raise WriteRefused(str(error)) from error

    def _forget_all(self) -> None:
        global _refusals  # noqa: PLW0603  # one number for all pools of the process
        if self._made_after == _refusals:  # otherwise another connection has met that server first
            _refusals += 1


class _PrimarySSLConnection(_PrimaryConnection, SSLConnection):
    """The same connection over TLS."""


def _connect_within(seconds: float | None, connect: Callable[[], socket.socket]) -> socket.socket:
    """Return what `connect` does, from a thread that is left behind if it takes longer. Raise TimeoutError then."""
    connected: Future[socket.socket] = Future()

    def run() -> None:
        try:
            connected.set_result(connect())
        except BaseException as error:  # noqa: BLE001  # raised where the result is awaited
            connected.set_exception(error)

    # Of no pool: nothing may wait for the thread, neither another connection nor the end of the process.
    threading.Thread(target=run, name="redis-connect", daemon=True).start()
    try:
        return connected.result(seconds)
    except TimeoutError:
        connected.add_done_callback(_close)
        raise


def _close(connected: Future[socket.socket]) -> None:
    """Close a socket that came too late."""
    if connected.exception() is None:
        connected.result().close()


def pool(url: str, timeout: float) -> ConnectionPool:
    """Return a pool of such connections, on which a command waits for `timeout` seconds at most.

    A command is sent once more if the connection broke, as an idle one may, or if the server refused it. It is not
    after a timeout, because it may have been carried out.
    """
    return ConnectionPool.from_url(
        url,
        connection_class=_PrimarySSLConnection if url.startswith("rediss:") else _PrimaryConnection,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError, WriteRefused)),
    )


class CacheConnectionFactory(ConnectionFactory):  # type: ignore[misc]  # django-redis has no types
    """The connection factory of Django's cache, with such connections."""

    def get_connection_pool(self, params: dict[str, Any]) -> ConnectionPool:
        return pool(params["url"], params["socket_timeout"])
