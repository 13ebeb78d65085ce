"""Requests that the cache cannot answer: they go in batches, and none waits for a hung one."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Container, Iterator, Sequence

import pytest

from apikeys import keyformat
from internal_api.fastpath import Batches, Handler, Reply, batches
from internal_api.fastpath.batches import MAX_BATCH_SIZE, THREADS
from internal_api.fastpath.keys import KeyAuthHandler
from tests.support.fastpath import match
from tests.support.instances import wait_until

pytestmark = pytest.mark.embedded

VALIDATE = "/api/v2/auth/validate-api-key"
BODY = json.dumps({"api_key": keyformat.generate("tenant_000000000000", "agent_000000000000")}).encode()
MAX_CONCURRENT_BATCHES = KeyAuthHandler.max_concurrent_batches
WAIT = 10


def handler(number: int) -> Handler:
    """Return a handler that can be told from others by its request id."""
    found = match("POST", VALIDATE, BODY, {"x-request-id": str(number)})
    assert found is not None
    return found


async def reply_to(queue: Batches, number: int) -> Reply:
    reply = await queue.reply(handler(number))
    assert reply is not None
    return reply


class Database:
    """A database that answers when it is told to, and keeps the batches that it got."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.at_once: Container[int] = ()  # the requests that it answers without being told to
        self.go_on = threading.Event()

    def reply_all(self, handlers: Sequence[Handler]) -> list[Reply]:
        numbers = [int(each.context.request_id) for each in handlers]
        self.batches.append(numbers)
        assert all(number in self.at_once for number in numbers) or self.go_on.wait(WAIT)
        return [Reply(200, [], each.context.request_id.encode()) for each in handlers]


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    database = Database()
    monkeypatch.setattr(KeyAuthHandler, "reply_all", database.reply_all)
    yield database
    database.go_on.set()


def run(scenario: Callable[[Batches], Awaitable[None]]) -> None:
    """Run a scenario on an event loop of its own, and close the batches."""

    async def with_batches() -> None:
        queue = Batches(asyncio.get_running_loop(), KeyAuthHandler)
        try:
            await scenario(queue)
        finally:
            queue.close()

    asyncio.run(with_batches())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.005)


def test_requests_that_come_during_a_batch_go_together(database: Database) -> None:
    async def scenario(queue: Batches) -> None:
        asked = [asyncio.create_task(reply_to(queue, number)) for number in range(12)]
        await until(lambda: len(database.batches) == MAX_CONCURRENT_BATCHES)
        database.go_on.set()
        replies = await asyncio.gather(*asked)

        assert [reply.body for reply in replies] == [str(number).encode() for number in range(12)]

    run(scenario)
    assert sorted(database.batches) == [[0], [1], list(range(2, 12))]


def test_full_queue_behind_batches_that_hang_is_served_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that have timed out leave the queue, so that others and more batches may begin."""
    monkeypatch.setattr(batches, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(batches, "MAX_WAITING", 3)
    database.at_once = range(100, 101)

    async def scenario(queue: Batches) -> None:
        hung = [asyncio.create_task(reply_to(queue, number)) for number in range(MAX_CONCURRENT_BATCHES)]
        await until(lambda: len(database.batches) == MAX_CONCURRENT_BATCHES)
        waiting = [asyncio.create_task(reply_to(queue, 10 + number)) for number in range(batches.MAX_WAITING)]
        assert {reply.status for reply in await asyncio.gather(*hung, *waiting)} == {503}

        assert (await reply_to(queue, 100)).status == 200

    run(scenario)


def test_next_batch_begins_while_the_event_loop_is_busy(database: Database) -> None:
    async def scenario(queue: Batches) -> None:
        asked = [asyncio.create_task(reply_to(queue, number)) for number in range(MAX_CONCURRENT_BATCHES + 1)]
        await until(lambda: len(database.batches) == MAX_CONCURRENT_BATCHES)
        database.go_on.set()
        wait_until(lambda: len(database.batches) > MAX_CONCURRENT_BATCHES, "the last one begins")  # on the loop
        await asyncio.gather(*asked)

    run(scenario)


def test_bug_fails_the_requests_of_its_batch_and_no_others(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_handlers: Sequence[Handler]) -> list[Reply]:
        raise ZeroDivisionError

    async def scenario(queue: Batches) -> None:
        with monkeypatch.context() as bug:
            bug.setattr(KeyAuthHandler, "reply_all", fail)
            with pytest.raises(ZeroDivisionError):
                await reply_to(queue, 1)
        database.go_on.set()
        assert (await reply_to(queue, 2)).body == b"2"

    run(scenario)


def test_batch_has_a_maximum_size(database: Database) -> None:
    async def scenario(queue: Batches) -> None:
        asked = [asyncio.create_task(reply_to(queue, number)) for number in range(2 + 2 * MAX_BATCH_SIZE + 1)]
        await until(lambda: len(database.batches) == MAX_CONCURRENT_BATCHES)
        database.go_on.set()
        await asyncio.gather(*asked)

    run(scenario)
    assert sorted(map(len, database.batches)) == [1, 1, 1, MAX_BATCH_SIZE, MAX_BATCH_SIZE]


def test_request_gets_503_at_once_where_too_many_wait(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_WAITING", 3)

    async def scenario(queue: Batches) -> None:
        asked = [asyncio.create_task(reply_to(queue, number)) for number in range(MAX_CONCURRENT_BATCHES + 3)]
        await until(lambda: len(database.batches) == MAX_CONCURRENT_BATCHES)
        async with asyncio.timeout(WAIT / 2):
            assert (await reply_to(queue, 99)).status == 503
        database.go_on.set()
        assert {reply.status for reply in await asyncio.gather(*asked)} == {200}

    run(scenario)
    assert all(99 not in batch for batch in database.batches)


def test_request_that_takes_too_long_gets_503(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "TIMEOUT_SECONDS", 0.05)

    async def scenario(queue: Batches) -> None:
        reply = await reply_to(queue, 1)

        assert reply.status == 503
        assert ("Retry-After", "1") in reply.headers
        assert json.loads(reply.body)["error_code"] == "SYS_002"
        database.go_on.set()
        assert (await reply_to(queue, 2)).body == b"2"

    run(scenario)


def test_request_that_timed_out_in_the_queue_is_dropped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would count a use that was never answered, and delay those that still wait."""
    monkeypatch.setattr(batches, "TIMEOUT_SECONDS", 0.05)

    async def scenario(queue: Batches) -> None:
        await asyncio.gather(*(reply_to(queue, number) for number in range(10)))
        assert sorted(database.batches) == [[0], [1]]
        monkeypatch.setattr(batches, "TIMEOUT_SECONDS", WAIT)
        late = asyncio.create_task(reply_to(queue, 99))
        await asyncio.sleep(0)
        database.go_on.set()
        assert (await late).body == b"99"

    run(scenario)
    assert sorted(database.batches) == [[0], [1], [99]]


def test_close_waits_for_running_batches(database: Database) -> None:
    async def scenario(queue: Batches) -> None:
        asked = asyncio.create_task(reply_to(queue, 1))
        await until(lambda: len(database.batches) == 1)
        threading.Timer(0.05, database.go_on.set).start()
        queue.close()
        assert (await asked).body == b"1"

    run(scenario)


def test_hung_batches_do_not_block_others(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if more of them hang, one after the other, than may run at once."""
    hung, later = range(THREADS - 1), range(THREADS, 2 * THREADS)
    database.at_once = later
    monkeypatch.setattr(batches, "TIMEOUT_SECONDS", 0.05)

    async def scenario(queue: Batches) -> None:
        assert [(await reply_to(queue, number)).status for number in hung] == [503] * len(hung)
        assert database.batches == [[number] for number in hung]

        monkeypatch.setattr(batches, "TIMEOUT_SECONDS", WAIT)
        replies = await asyncio.gather(*(reply_to(queue, number) for number in later))
        assert [reply.body for reply in replies] == [str(number).encode() for number in later]
        assert not database.go_on.is_set(), "all that hung still hangs"
        database.go_on.set()

    run(scenario)


def test_cancelled_request_fails_no_other_of_its_batch(database: Database) -> None:
    async def scenario(queue: Batches) -> None:
        asked = [asyncio.create_task(reply_to(queue, number)) for number in range(MAX_CONCURRENT_BATCHES + 2)]
        gone, waiting = asked[MAX_CONCURRENT_BATCHES:]
        await until(lambda: len(database.batches) == MAX_CONCURRENT_BATCHES)
        first, database.go_on = database.go_on, threading.Event()
        first.set()
        await until(lambda: [MAX_CONCURRENT_BATCHES, MAX_CONCURRENT_BATCHES + 1] in database.batches)
        gone.cancel()
        database.go_on.set()

        assert (await waiting).body == str(MAX_CONCURRENT_BATCHES + 1).encode()

    run(scenario)
