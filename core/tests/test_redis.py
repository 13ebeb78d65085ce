"""Connections to Redis: nothing that connecting takes, the name lookup included, outlasts its limit."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

from core import redis
from tests.support.instances import WAIT, wait_until

pytestmark = pytest.mark.embedded


def test_resolver_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def look_up(*arguments: Any, **options: Any) -> Any:
        assert answer.wait(WAIT)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    client = Redis.from_pool(redis.pool("redis://redis.example:6379/0", timeout=0.05))

    try:
        with pytest.raises(RedisTimeoutError):
            client.ping()
    finally:
        answer.set()


def test_connection_that_comes_too_late_is_closed() -> None:
    go_on = threading.Event()
    late, other = socket.socketpair()

    def connect() -> socket.socket:
        assert go_on.wait(WAIT)
        return late

    with other:
        with pytest.raises(TimeoutError):
            redis._connect_within(0.05, connect)
        go_on.set()
        wait_until(lambda: late.fileno() == -1, "the socket is closed")
