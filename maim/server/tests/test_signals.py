"""Signals, as the event loop of a worker handles them."""

from __future__ import annotations

import signal

import pytest

from maim.server.worker import OneSignalLoop

pytestmark = pytest.mark.embedded


def test_handler_of_a_signal_is_called_once_however_often_it_comes() -> None:
    # given a loop with a handler, whose arguments say how often it was called
    loop = OneSignalLoop()
    handled: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, handled.append, "SIGUSR1")

    # when the signal comes at several turns of the loop, each of which ends with another signal, handled after it
    for _ in range(5):
        loop.add_signal_handler(signal.SIGUSR2, loop.stop)
        loop.call_soon(signal.raise_signal, signal.SIGUSR1)
        loop.call_soon(signal.raise_signal, signal.SIGUSR2)
        loop.run_forever()
    loop.close()

    # then the handler was called at the first turn
    assert handled == ["SIGUSR1"]
