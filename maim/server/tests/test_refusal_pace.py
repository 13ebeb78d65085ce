"""The pace of refusals: beyond it, clients are paused and each comes again in its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from maim.server.refusal_pace import MAX_PER_TICK, RefusalPace
from tests.support.instances import WAIT

pytestmark = pytest.mark.embedded


class Connection:
    """A connection that tells when it is resumed."""

    def __init__(self, resumed: list[Connection]) -> None:
        self.is_paused = False
        self.resumed = resumed

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        self.resumed.append(self)


def run(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(WAIT):
            await scenario()

    asyncio.run(main())


def test_few_refusals_pause_nobody() -> None:
    async def scenario() -> None:
        pace, connections = RefusalPace(), [Connection([]) for _ in range(MAX_PER_TICK)]
        for each in connections:
            pace.count(each)
        assert not any(each.is_paused for each in connections)

    run(scenario)


def test_clients_beyond_the_pace_are_paused_and_resumed_in_order_tick_by_tick() -> None:
    async def scenario() -> None:
        resumed: list[Connection] = []
        pace, connections = RefusalPace(), [Connection(resumed) for _ in range(4 * MAX_PER_TICK)]
        for each in connections:
            pace.count(each)
        paused = connections[MAX_PER_TICK:]
        assert [each for each in connections if each.is_paused] == paused

        numbers = {len(resumed)}
        while resumed != paused:
            await asyncio.sleep(0)
            numbers.add(len(resumed))
        assert numbers == {0, MAX_PER_TICK, 2 * MAX_PER_TICK, 3 * MAX_PER_TICK}

    run(scenario)


def test_next_tick_begins_with_none_refused() -> None:
    async def scenario() -> None:
        resumed: list[Connection] = []
        pace = RefusalPace()
        for _ in range(MAX_PER_TICK + 1):
            pace.count(Connection(resumed))
        while not resumed:
            await asyncio.sleep(0)
        again = Connection(resumed)
        pace.count(again)
        assert not again.is_paused

    run(scenario)
