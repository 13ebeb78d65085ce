"""Questions that memory cannot answer, as the event loop has them answered: together, and none waits for a hung one."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Container, Iterator, Sequence

import pytest

from apikeys import keyformat
from core.http.surfaces import INTERNAL
from internal_api.fastpath import keys as shortcut
from internal_api.fastpath.responses import Reply
from maim.server import rsgi
from maim.server.rsgi import BATCH_THREADS, MAX_BATCH, MAX_BATCHES, Batches

pytestmark = pytest.mark.embedded

VALIDATE = "/api/v2/auth/validate-api-key"
QUESTION = json.dumps({"api_key": keyformat.generate("tenant_000000000000", "agent_000000000000")}).encode()
WAIT = 10


def question(number: int) -> shortcut.Request:
    """A question that can be told from others by its request id."""
    headers = {
        "content-type": "application/json",
        "content-length": str(len(QUESTION)),
        "host": "localhost",
        "x-request-id": str(number),
    }
    asked = shortcut.request("POST", VALIDATE, str(INTERNAL.bind.port), headers.get, lambda: QUESTION)
    assert asked is not None
    return asked


class Judge:
    """In place of the engine: answers when it is told to, and keeps what it was asked together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.at_once: Container[int] = ()  # the questions that it answers without being told to
        self.go_on = threading.Event()

    def answered(self, requests: Sequence[shortcut.Request]) -> list[Reply]:
        numbers = [int(request.scope.request_id) for request in requests]
        self.batches.append(numbers)
        assert all(number in self.at_once for number in numbers) or self.go_on.wait(WAIT)
        return [Reply(200, [], request.scope.request_id.encode()) for request in requests]


@pytest.fixture
def judge() -> Iterator[Judge]:
    judge = Judge()
    yield judge
    judge.go_on.set()


def run(judge: Judge, scenario: Callable[[Batches[shortcut.Request]], Awaitable[None]]) -> None:
    """Plays a scenario on an event loop of its own, and ends the batches."""

    async def with_batches() -> None:
        batches = Batches(asyncio.get_running_loop(), judge.answered)
        try:
            await scenario(batches)
        finally:
            batches.end()

    asyncio.run(with_batches())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.005)


def test_those_that_come_while_others_are_answered_go_together(judge: Judge) -> None:
    async def scenario(batches: Batches[shortcut.Request]) -> None:
        asked = [asyncio.create_task(batches.reply(question(number))) for number in range(12)]
        await until(lambda: len(judge.batches) == MAX_BATCHES)
        judge.go_on.set()
        replies = await asyncio.gather(*asked)

        assert [reply.body for reply in replies] == [str(number).encode() for number in range(12)]

    run(judge, scenario)
    assert sorted(judge.batches) == [[0], [1], list(range(2, 12))]


def test_so_many_go_together_and_no_more(judge: Judge) -> None:
    async def scenario(batches: Batches[shortcut.Request]) -> None:
        asked = [asyncio.create_task(batches.reply(question(number))) for number in range(2 + 2 * MAX_BATCH + 1)]
        await until(lambda: len(judge.batches) == MAX_BATCHES)
        judge.go_on.set()
        await asyncio.gather(*asked)

    run(judge, scenario)
    assert sorted(map(len, judge.batches)) == [1, 1, 1, MAX_BATCH, MAX_BATCH]


def test_one_that_takes_too_long_is_answered_that_there_is_none(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rsgi, "ANSWER_SECONDS", 0.05)

    async def scenario(batches: Batches[shortcut.Request]) -> None:
        reply = await batches.reply(question(1))

        assert reply.status == 503
        assert ("Retry-After", "1") in reply.headers
        assert json.loads(reply.body)["error_code"] == "SYS_002"
        judge.go_on.set()
        assert (await batches.reply(question(2))).body == b"2"

    run(judge, scenario)


def test_one_that_nobody_waits_for_any_more_is_not_asked(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would count a use that was never answered, and hold up those who still wait."""
    monkeypatch.setattr(rsgi, "ANSWER_SECONDS", 0.05)

    async def scenario(batches: Batches[shortcut.Request]) -> None:
        await asyncio.gather(*(batches.reply(question(number)) for number in range(10)))
        assert sorted(judge.batches) == [[0], [1]]
        monkeypatch.setattr(rsgi, "ANSWER_SECONDS", WAIT)
        late = asyncio.create_task(batches.reply(question(99)))
        await asyncio.sleep(0)
        judge.go_on.set()
        assert (await late).body == b"99"

    run(judge, scenario)
    assert sorted(judge.batches) == [[0], [1], [99]]


def test_the_end_waits_for_what_is_under_way(judge: Judge) -> None:
    async def scenario(batches: Batches[shortcut.Request]) -> None:
        asked = asyncio.create_task(batches.reply(question(1)))
        await until(lambda: len(judge.batches) == 1)
        threading.Timer(0.05, judge.go_on.set).start()
        batches.end()
        assert (await asked).body == b"1"

    run(judge, scenario)


def test_those_that_hang_make_way_for_others(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though more hang by and by than are ever at work."""
    hung, later = range(BATCH_THREADS - 1), range(BATCH_THREADS, 2 * BATCH_THREADS)
    judge.at_once = later
    monkeypatch.setattr(rsgi, "ANSWER_SECONDS", 0.05)

    async def scenario(batches: Batches[shortcut.Request]) -> None:
        assert [(await batches.reply(question(number))).status for number in hung] == [503] * len(hung)
        assert judge.batches == [[number] for number in hung]

        monkeypatch.setattr(rsgi, "ANSWER_SECONDS", WAIT)
        replies = await asyncio.gather(*(batches.reply(question(number)) for number in later))
        assert [reply.body for reply in replies] == [str(number).encode() for number in later]
        assert not judge.go_on.is_set(), "all that hung still hangs"
        judge.go_on.set()

    run(judge, scenario)


def test_one_whose_asker_has_gone_takes_nobodys_answer_with_it(judge: Judge) -> None:
    judge.at_once = range(MAX_BATCHES)

    async def scenario(batches: Batches[shortcut.Request]) -> None:
        asked = [asyncio.create_task(batches.reply(question(number))) for number in range(MAX_BATCHES + 2)]
        gone, waiting = asked[MAX_BATCHES:]
        await until(lambda: [MAX_BATCHES, MAX_BATCHES + 1] in judge.batches)
        gone.cancel()
        judge.go_on.set()

        assert (await waiting).body == str(MAX_BATCHES + 1).encode()

    run(judge, scenario)
