"""Nudges through Redis: hints to workers on any machine that the epoch has moved (core.epoch).

A nudge that is lost costs time only, because workers read the epoch anyway.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache

from django.conf import settings
from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError

from core import redis

CHANNEL = "maim:epoch"
# Short, because whoever sends a nudge waits for an approval next.
SEND_TIMEOUT_SECONDS = 0.1
LISTEN_TIMEOUT_SECONDS = 1.0
RETRY_SECONDS = 1.0

_retry_at = float("-inf")


def send() -> None:
    """Nudge the workers of all processes. Do nothing without Redis, or while it does not answer."""
    global _retry_at  # noqa: PLW0603  # one Redis for the process
    url = settings.REDIS_URL
    if not url or time.monotonic() < _retry_at:
        return
    try:
        _client(url, SEND_TIMEOUT_SECONDS).publish(CHANNEL, b"")
    except RedisError:
        _retry_at = time.monotonic() + RETRY_SECONDS


def listen(callback: Callable[[], None]) -> None:
    """Call `callback` at each nudge from now on, in a thread of its own. Do nothing without Redis."""
    if url := settings.REDIS_URL:
        threading.Thread(target=_listen, args=(url, callback), name="nudges", daemon=True).start()


def _listen(url: str, callback: Callable[[], None]) -> None:
    while True:
        try:
            _listen_on_one_connection(url, callback)
        except RedisError:
            time.sleep(RETRY_SECONDS)


def _listen_on_one_connection(url: str, callback: Callable[[], None]) -> None:
    until = time.monotonic() + settings.CONNECTION_MAX_AGE_SECONDS
    with PubSub(_client(url, LISTEN_TIMEOUT_SECONDS).connection_pool, ignore_subscribe_messages=True) as channel:
        channel.subscribe(CHANNEL)  # type: ignore[no-untyped-call]  # untyped in the library
        while (seconds := until - time.monotonic()) > 0:
            if channel.get_message(timeout=seconds) is not None:
                callback()


@cache
def _client(url: str, timeout: float) -> Redis:
    return Redis.from_pool(redis.pool(url, timeout))
