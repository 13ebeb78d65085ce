"""Connections to Redis that follow the primary.

After a failover, connections to the server that was the primary may live on, where a proxy or a virtual IP
address leads only new ones to the server that took over. So where one connection meets a server that takes
no writes, all that this process has are made anew before their next use, and each is made anew when it is
older than MAIM_CONNECTION_MAX_AGE_SECONDS.
"""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django_redis.pool import ConnectionFactory
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError, ResponseError
from redis.retry import Retry

# What a replica says, in a script before Redis 7 somewhere in its text; one that lost its primary; and a primary
# that lost its replicas (min-replicas-to-write).
_REFUSALS = (ReadOnlyError, MasterDownError)
_REFUSING_TEXTS = ("READONLY ", "NOREPLICAS ")

# How often this process was refused a write so far.
_refusals = 0


class WriteRefused(ResponseError):
    """The server takes no writes; nothing was applied. The next use of any connection is of a new one."""


class _PrimaryConnection(Connection):
    """A connection that is made anew, when the pool lends it, where it may not be to the primary any more."""

    _made_at = 0.0
    _made_after = 0

    def connect(self) -> None:
        is_old = time.monotonic() - self._made_at >= settings.CONNECTION_MAX_AGE_SECONDS
        if is_old or self._made_after != _refusals:
            self.disconnect()  # type: ignore[no-untyped-call]
        super().connect()  # type: ignore[no-untyped-call]

    def on_connect_check_health(self, check_health: bool = True) -> None:
        self._made_at, self._made_after = time.monotonic(), _refusals
        super().on_connect_check_health(check_health)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Raise WriteRefused where the server takes no writes."""
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if not isinstance(error, _REFUSALS) and not any(text in str(error) for text in _REFUSING_TEXTS):
                raise
            self._forget_all()
            raise WriteRefused(str(error)) from error

    def _forget_all(self) -> None:
        global _refusals  # noqa: PLW0603  # one number for all pools of the process
        if self._made_after == _refusals:  # else another has met that server first
            _refusals += 1


class _PrimarySSLConnection(_PrimaryConnection, SSLConnection):
    """The same, encrypted."""


def pool(url: str, timeout: float) -> ConnectionPool:
    """Return a pool of such connections, on which each command waits for `timeout` seconds at most.

    A command is sent once more where the connection broke, as an idle one may, and where the server refused
    it. Not after a time-out: it may have been carried out.
    """
    return ConnectionPool.from_url(
        url,
        connection_class=_PrimarySSLConnection if url.startswith("rediss:") else _PrimaryConnection,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError, WriteRefused)),
    )


class CacheConnectionFactory(ConnectionFactory):  # type: ignore[misc]  # django-redis has no types
    """Gives Django's cache such connections."""

    def get_connection_pool(self, params: dict[str, Any]) -> ConnectionPool:
        return pool(params["url"], params["socket_timeout"])
