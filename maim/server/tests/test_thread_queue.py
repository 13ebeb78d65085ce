"""The bounded queue in front of a surface's threads."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from core.http.surfaces import PUBLIC
from core.waiting import waiting
from maim.server import thread_queue
from maim.server.exchange import ClientGone
from maim.server.thread_queue import Overloaded, ThreadQueue
from tests.support.instances import WAIT, wait_until

pytestmark = pytest.mark.embedded

THREADS = 2
Scenario = Callable[["Surface"], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_request_waits_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is refused because the machine is busy, but in the tests of refusals."""
    monkeypatch.setattr(thread_queue, "MAX_WAIT_SECONDS", WAIT)
    monkeypatch.setattr(thread_queue, "MAX_EXPECTED_SECONDS", WAIT)


class Surface:
    """A surface with two threads, whose requests run until they are released."""

    def __init__(self, threads: int = THREADS) -> None:
        self.queue = ThreadQueue(dataclasses.replace(PUBLIC, threads=threads))
        self.begun: list[str] = []
        self._may_end = {name: threading.Event() for name in ("a", "b", "c", "d", "e")}
        self.gone = {name: asyncio.Event() for name in self._may_end}

    def send(self, name: str, *, waits: bool = False, first: str = "") -> asyncio.Task[str]:
        """Send a request. With `waits`, it says that it waits, when `first` is released."""

        async def client_gone() -> None:
            await self.gone[name].wait()

        return asyncio.create_task(self.queue.run(client_gone, self._serve, name, waits, first))

    def _serve(self, name: str, waits: bool, first: str) -> str:
        self.begun.append(name)
        assert not first or self._may_end[first].wait(10)
        with waiting() if waits else nullcontext():
            assert self._may_end[name].wait(10)
        return name

    def release(self, *names: str) -> None:
        for name in names:
            self._may_end[name].set()

    async def fill(self) -> list[asyncio.Task[str]]:
        """Send a request to every thread."""
        tasks = [self.send("a"), self.send("b")]
        while len(self.begun) < THREADS:
            await asyncio.sleep(0.01)
        return tasks

    def close(self) -> None:
        self.release(*self._may_end)
        self.queue.close()


def run(scenario: Scenario, threads: int = THREADS) -> None:
    """Run a scenario, in which no callback of the event loop may fail."""

    async def main() -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, failure: failures.append(failure))
        surface = Surface(threads)
        try:
            await scenario(surface)
        finally:
            surface.close()
        await asyncio.sleep(0)
        assert not failures

    asyncio.run(main())


def test_requests_wait_in_the_order_in_which_they_came() -> None:
    async def scenario(surface: Surface) -> None:
        running = await surface.fill()
        waiting = [surface.send("c"), surface.send("d")]
        await asyncio.sleep(0)
        surface.release("a", "c", "d", "b")

        assert await asyncio.gather(*running, *waiting) == ["a", "b", "c", "d"]
        assert surface.begun.index("c") < surface.begun.index("d")

    run(scenario)


def test_request_that_waits_too_long_is_refused_and_never_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_queue, "MAX_WAIT_SECONDS", 0.05)

    async def scenario(surface: Surface) -> None:
        running = await surface.fill()
        with pytest.raises(Overloaded):
            await surface.send("c")
        monkeypatch.setattr(thread_queue, "MAX_WAIT_SECONDS", WAIT)
        surface.release("a", "b", "d")

        assert await asyncio.gather(*running, surface.send("d")) == ["a", "b", "d"]
        assert "c" not in surface.begun

    run(scenario)


def test_request_whose_client_has_gone_is_never_begun() -> None:
    async def scenario(surface: Surface) -> None:
        running = await surface.fill()
        waiting = surface.send("c")
        await asyncio.sleep(0)
        surface.gone["c"].set()
        with pytest.raises(ClientGone):
            await waiting
        surface.release("a", "b", "d", "e")

        assert await asyncio.gather(*running, surface.send("d"), surface.send("e")) == ["a", "b", "d", "e"]
        assert "c" not in surface.begun

    run(scenario)


def test_request_that_is_cancelled_while_it_waits_is_never_begun() -> None:
    async def scenario(surface: Surface) -> None:
        running = await surface.fill()
        waiting = surface.send("c")
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        surface.release("a", "b", "c", "d")

        assert await asyncio.gather(*running, surface.send("d")) == ["a", "b", "d"]
        assert "c" not in surface.begun

    run(scenario)


def test_request_that_is_cancelled_while_it_runs_frees_its_thread() -> None:
    async def scenario(surface: Surface) -> None:
        running = await surface.fill()
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        surface.release("a", "b", "c", "d")

        assert list(await asyncio.gather(surface.send("c"), surface.send("d"))) == ["c", "d"]

    run(scenario)


def test_client_that_goes_as_its_turn_comes_gives_the_thread_to_the_next() -> None:
    async def scenario(surface: Surface) -> None:
        running = await surface.fill()
        waiting, behind = surface.send("c"), surface.send("d")
        await asyncio.sleep(0)
        surface.release("a", "d")
        surface.gone["c"].set()
        with suppress(ClientGone):
            surface.release("c")
            await waiting

        assert await asyncio.wait_for(behind, 10) == "d"
        surface.release("b")
        assert await asyncio.gather(*running) == ["a", "b"]

    run(scenario)


def test_request_is_refused_at_once_while_the_queue_moves_too_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(surface: Surface) -> None:
        running = await surface.fill()
        waiting = surface.send("c")
        await asyncio.sleep(0)
        monkeypatch.setattr(thread_queue, "MAX_EXPECTED_SECONDS", 0)
        with pytest.raises(Overloaded):
            await asyncio.wait_for(surface.send("d"), 10)
        surface.release("a", "b", "c")

        assert await asyncio.gather(*running, waiting) == ["a", "b", "c"]

    run(scenario)


def test_full_queue_refuses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_queue, "MAX_WAITING", 1)

    async def scenario(surface: Surface) -> None:
        await surface.fill()
        waiting = surface.send("c")
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await surface.send("d")
        surface.release("a", "b", "c")

        assert await waiting == "c"

    run(scenario)


def test_failed_request_frees_its_thread() -> None:
    async def scenario(surface: Surface) -> None:
        async def client_gone() -> None:
            await asyncio.Event().wait()

        def fail() -> None:
            raise LookupError

        for _ in range(THREADS + 1):
            with pytest.raises(LookupError):
                await surface.queue.run(client_gone, fail)

    run(scenario)


def test_thread_begins_the_next_request_while_the_event_loop_is_busy() -> None:
    async def scenario(surface: Surface) -> None:
        running = await surface.fill()
        waiting = surface.send("c")
        await asyncio.sleep(0)
        surface.release("a", "b", "c")
        wait_until(lambda: "c" in surface.begun, "it is begun, though the event loop does nothing but wait here")

        assert await asyncio.gather(*running, waiting) == ["a", "b", "c"]

    run(scenario)


def test_requests_of_one_turn_of_the_event_loop_count_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_queue, "MAX_WAITING", 3)

    async def scenario(surface: Surface) -> None:
        running = await surface.fill()
        waiting = surface.send("c")
        await asyncio.sleep(0)
        refused = []
        for _ in range(4):
            refused.append(surface.queue.is_overloaded)
            surface.queue.reserve()
        assert refused == [False, False, True, True]

        await asyncio.sleep(0)
        assert not surface.queue.is_overloaded, "none of them has come"
        surface.release("a", "b", "c")
        await asyncio.gather(*running, waiting)

    run(scenario)


def test_nothing_is_refused_because_the_machine_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Any = SimpleNamespace(now=0.0, monotonic=lambda: clock.now, process_time=time.process_time)
    monkeypatch.setattr(thread_queue, "time", clock)
    monkeypatch.setattr(thread_queue, "MAX_EXPECTED_SECONDS", 1.0)

    async def scenario(surface: Surface) -> None:
        running = await surface.fill()
        waiting = [surface.send("c"), surface.send("d")]
        await asyncio.sleep(0)
        clock.now += 0.9
        surface.release("a")
        wait_until(lambda: "c" in surface.begun, "the first ends after a stall")
        for _ in range(20):
            assert not surface.queue.is_overloaded
            surface.queue.reserve()
        surface.release("b", "c", "d")
        await asyncio.gather(*running, *waiting)

    run(scenario)


def test_request_ends_also_if_its_thread_then_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Any = SimpleNamespace(now=0.0, monotonic=lambda: clock.now, process_time=time.process_time)
    monkeypatch.setattr(thread_queue, "time", clock)
    monkeypatch.setattr(thread_queue, "MAX_EXPECTED_SECONDS", 1.0)
    monkeypatch.setattr(thread_queue, "MAX_UTILIZATION", -1)  # so that the limit stays at two threads

    async def scenario(surface: Surface) -> None:
        tasks = [surface.send(name) for name in ("a", "b", "c", "d")]
        while len(surface.begun) < len(tasks):  # two of them beyond the limit, because none ends
            await asyncio.sleep(0.01)
        monkeypatch.setattr(thread_queue, "ADJUST_EVERY_SECONDS", WAIT)
        await asyncio.sleep(0.1)  # until no adjustment is due that would let the next begin, too
        tasks.append(surface.send("e"))
        await asyncio.sleep(0)
        clock.now += 0.9
        surface.release("a")
        await tasks[0]
        wait_until(lambda: surface.queue._running == 3, "the thread that ended it rests")
        clock.now += 0.9

        assert "e" not in surface.begun
        assert not surface.queue.is_overloaded
        surface.release("b", "c", "d", "e")
        await asyncio.gather(*tasks)

    run(scenario, threads=4)


class TestNumberOfThreads:
    """Two threads take requests, and more while those that take them mostly wait."""

    async def limit_after_some_time(self, surface: Surface) -> int:
        """Return how many threads may run after requests have waited for a while."""
        tasks = [surface.send(name) for name in ("a", "b", "c")]
        await asyncio.sleep(5 * thread_queue.ADJUST_EVERY_SECONDS)
        limit = surface.queue._limit
        surface.release("a", "b", "c")
        await asyncio.gather(*tasks)
        return limit

    @pytest.mark.parametrize(("max_utilization", "limit"), [(0, 1), (1_000, THREADS)], ids=["compute", "wait"])
    def test_more_threads_run_only_while_threads_wait(
        self, monkeypatch: pytest.MonkeyPatch, max_utilization: float, limit: int
    ) -> None:
        monkeypatch.setattr(thread_queue, "FEWEST_THREADS", 1)
        monkeypatch.setattr(thread_queue, "MAX_LAG_SECONDS", 10)
        monkeypatch.setattr(thread_queue, "MAX_UTILIZATION", max_utilization)

        async def scenario(surface: Surface) -> None:
            assert await self.limit_after_some_time(surface) == limit

        run(scenario)

    def test_newcomer_does_not_overtake_those_that_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(thread_queue.ThreadQueue, "_adjust_later", lambda self: None)
        monkeypatch.setattr(thread_queue, "MAX_UTILIZATION", float("inf"))

        async def scenario(surface: Surface) -> None:
            tasks = [surface.send(name) for name in ("a", "b", "c", "d")]
            await asyncio.sleep(0)
            surface.queue._limit = 4  # more threads may run than do
            tasks.append(surface.send("e"))
            await asyncio.sleep(0)

            surface.queue._adjust(asyncio.get_running_loop(), asyncio.get_running_loop().time())
            wait_until(lambda: len(surface.begun) == 4, "those that may run begin")
            assert "e" not in surface.begun
            surface.release("a", "b", "c", "d", "e")
            await asyncio.gather(*tasks)

        run(scenario, threads=4)

    def test_request_for_which_there_is_a_thread_is_not_refused_behind_slow_ones(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(thread_queue, "FEWEST_THREADS", 1)
        monkeypatch.setattr(thread_queue, "MAX_EXPECTED_SECONDS", 0)

        async def scenario(surface: Surface) -> None:
            tasks = [surface.send(name) for name in ("a", "b", "c")]
            async with asyncio.timeout(10):
                while len(surface.begun) < 3:
                    await asyncio.sleep(0.01)
            surface.release("a", "b", "c")

            assert await asyncio.gather(*tasks) == ["a", "b", "c"]

        run(scenario, threads=3)

    def test_request_behind_threads_that_all_wait_or_run_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(thread_queue, "MAX_EXPECTED_SECONDS", 0)

        async def scenario(surface: Surface) -> None:
            busy = [surface.send("a", waits=True), surface.send("b", waits=True), surface.send("c")]
            async with asyncio.timeout(10):
                while len(surface.begun) < 3:
                    await asyncio.sleep(0.01)
            queued = surface.send("d")
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await surface.send("e")
            surface.release("a", "b", "c", "d")
            await asyncio.gather(*busy, queued)

        run(scenario, threads=3)


class TestLateEventLoop:
    """Threads that compute leave the event loop too little of the interpreter."""

    @pytest.fixture(autouse=True)
    def _late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(thread_queue, "FEWEST_THREADS", 1)
        monkeypatch.setattr(thread_queue, "MAX_LAG_SECONDS", -1)  # so that it is always late

    def test_fewer_threads_take_requests(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario(surface: Surface) -> None:
            running = await surface.fill()
            await asyncio.sleep(5 * thread_queue.ADJUST_EVERY_SECONDS)
            surface.release("a", "b")
            await asyncio.gather(*running)
            both = [surface.send("c"), surface.send("d")]
            await asyncio.sleep(0)
            monkeypatch.setattr(thread_queue, "MAX_EXPECTED_SECONDS", 0)
            assert surface.queue.is_overloaded, "one of two has to wait, though both threads are free"

            surface.release("c", "d")
            assert await asyncio.gather(*both) == ["c", "d"]

        run(scenario)

    def test_threads_that_say_that_they_wait_are_not_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(thread_queue.ThreadQueue, "_adjust_later", lambda self: None)  # so that it lets none in

        async def scenario(surface: Surface) -> None:
            surface.queue._limit = 1
            patient = surface.send("a", waits=True)
            while "a" not in surface.begun:
                await asyncio.sleep(0.01)
            running, queued = surface.send("b"), surface.send("c")
            while "b" not in surface.begun:
                await asyncio.sleep(0.01)
            assert "c" not in surface.begun, "one computes"
            surface.release("a", "b", "c")

            assert list(await asyncio.gather(patient, running, queued)) == ["a", "b", "c"]
            surface.release("d", "e")
            assert list(await asyncio.gather(surface.send("d"), surface.send("e"))) == ["d", "e"]
            queue = surface.queue
            wait_until(lambda: (queue._running, queue._blocked) == (0, 0), "the threads are counted out")

        run(scenario)

    def test_thread_that_begins_to_wait_lets_a_queued_request_begin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(thread_queue.ThreadQueue, "_adjust_later", lambda self: None)

        async def scenario(surface: Surface) -> None:
            surface.queue._limit = 1
            patient = surface.send("a", waits=True, first="b")
            queued = surface.send("c")
            await asyncio.sleep(0)
            surface.release("b", "c")

            assert await asyncio.wait_for(queued, 10) == "c", "before the first has ended"
            surface.release("a")
            assert await patient == "a"

        run(scenario)

    def test_request_is_refused_while_all_threads_wait_or_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(thread_queue, "MAX_WAIT_SECONDS", 0.05)

        async def scenario(surface: Surface) -> None:
            both = [surface.send("a", waits=True), surface.send("b")]
            while len(surface.begun) < THREADS:
                await asyncio.sleep(0.01)
            with pytest.raises(Overloaded):
                await surface.send("c")
            surface.release("a", "b")

            assert await asyncio.gather(*both) == ["a", "b"]
            assert "c" not in surface.begun

        run(scenario)

    def test_threads_that_only_wait_do_not_keep_others_waiting(self) -> None:
        async def scenario(surface: Surface) -> None:
            patient = surface.send("a")
            while "a" not in surface.begun:
                await asyncio.sleep(thread_queue.ADJUST_EVERY_SECONDS)
            surface.release("b", "c")

            assert list(await asyncio.gather(surface.send("b"), surface.send("c"))) == ["b", "c"]
            surface.release("a")
            assert await patient == "a"

        run(scenario)
