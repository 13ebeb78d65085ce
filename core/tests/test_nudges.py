"""Nudges through Redis: they arrive, and a Redis that does not answer delays nobody twice."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import Mock

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from core import nudges
from tests.support.instances import WAIT, wait_until


@pytest.mark.needs_redis
def test_nudge_reaches_those_who_listen(settings: Any) -> None:
    settings.CONNECTION_MAX_AGE_SECONDS = 2  # after which this thread ends
    arrived = threading.Event()
    listener = threading.Thread(
        target=nudges._listen_on_one_connection, args=(settings.REDIS_URL, arrived.set), daemon=True
    )
    listener.start()

    def arrives() -> bool:
        nudges.send()
        return arrived.wait(0.05) or not listener.is_alive()

    wait_until(arrives, "a nudge arrives")
    listener.join(WAIT)
    assert arrived.is_set()


def test_redis_that_does_not_answer_is_left_alone_for_a_while(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    publish = Mock(side_effect=RedisConnectionError)
    monkeypatch.setattr(nudges, "_client", lambda url, timeout: Mock(publish=publish))
    monkeypatch.setattr(nudges, "_retry_at", float("-inf"))

    for _ in range(3):
        nudges.send()

    assert publish.call_count == 1


def test_without_redis_nothing_is_sent(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REDIS_URL = None
    client = Mock()
    monkeypatch.setattr(nudges, "_client", client)

    nudges.send()
    nudges.listen(Mock())

    assert not client.called
