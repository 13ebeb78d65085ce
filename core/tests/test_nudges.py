"""Nudges: they arrive through Redis or a pipe, and one that does not answer, or is not read, delays nobody."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
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


@pytest.fixture
def _pipe(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.REDIS_URL = None
    monkeypatch.setattr(nudges, "_pipe", None)
    nudges.open_pipe()
    reading, writing = nudges._pipe or (-1, -1)
    yield
    os.close(writing)  # which ends the thread that listens
    for thread in threading.enumerate():
        if thread.name == "nudges":
            thread.join(WAIT)
    os.close(reading)


@pytest.mark.usefixtures("_pipe")
def test_without_redis_a_nudge_comes_through_the_pipe() -> None:
    arrived = threading.Event()
    nudges.listen(arrived.set)

    nudges.send()

    assert arrived.wait(WAIT)


@pytest.mark.usefixtures("_pipe")
def test_pipe_that_nobody_reads_delays_nobody() -> None:
    for _ in range(100_000):  # more than a pipe holds
        nudges.send()


def test_without_redis_and_a_pipe_nothing_is_sent(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REDIS_URL = None
    client = Mock()
    monkeypatch.setattr(nudges, "_client", client)
    monkeypatch.setattr(nudges, "_pipe", None)

    nudges.send()
    nudges.listen(Mock())

    assert not client.called
