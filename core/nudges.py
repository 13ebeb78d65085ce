"""Nudges: hints to workers that the epoch has moved (core.epoch).

They go through Redis to workers on any machine. Without Redis there is one internal worker, to which they go through a
pipe that all processes of `serve` share. A nudge that is lost costs time only, because workers read the epoch anyway.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
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
_pipe: tuple[int, int] | None = None  # its ends for reading and for writing


def open_pipe() -> None:
    """Open the pipe that the processes forked from now on share."""
    global _pipe  # noqa: PLW0603  # one server in a process
    _pipe = os.pipe()
    os.set_blocking(_pipe[1], False)


def send() -> None:
    """Nudge the workers of all processes. Do nothing while Redis does not answer."""
    global _retry_at  # noqa: PLW0603  # one Redis for the process
    url = settings.REDIS_URL
    if not url:
        _send_through_pipe()
    elif time.monotonic() >= _retry_at:
        try:
            _client(url, SEND_TIMEOUT_SECONDS).publish(CHANNEL, b"")
        except RedisError:
            _retry_at = time.monotonic() + RETRY_SECONDS


def listen(callback: Callable[[], None]) -> None:
    """Call `callback` at each nudge from now on, in a thread of its own. Do nothing without Redis and a pipe."""
    if url := settings.REDIS_URL:
        threading.Thread(target=_listen, args=(url, callback), name="nudges", daemon=True).start()
    elif _pipe is not None:
        threading.Thread(target=_listen_to_pipe, args=(_pipe[0], callback), name="nudges", daemon=True).start()


def _send_through_pipe() -> None:
    if _pipe is not None:
        with suppress(BlockingIOError):  # the pipe is full of nudges that a worker has yet to read
            os.write(_pipe[1], b".")


def _listen_to_pipe(pipe: int, callback: Callable[[], None]) -> None:
    while os.read(pipe, 1024):
        callback()


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
