"""The responses that wait on the event loop: they end with the approvals, or when their time is over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection

from core import approvals, epoch, nudges, primary
from core.approvals import Approvals
from core.epoch import Wait
from core.models import Approval
from maim.server.approval_watch import ApprovalWatch
from tests.support.instances import WAIT

pytestmark = [pytest.mark.embedded, pytest.mark.django_db(transaction=True)]
A_MOMENT = 0.05


@pytest.fixture(autouse=True)
def _propagation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that is longer than any test, which only approvals can end."""
    monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", WAIT)


@pytest.fixture(autouse=True)
def nudged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The nudges that were sent."""
    nudged: list[int] = []
    monkeypatch.setattr(nudges, "send", lambda: nudged.append(1))
    return nudged


@pytest.fixture(autouse=True)
def _worker() -> Iterator[None]:
    """A worker that has noted epoch 7."""
    approvals.use(True)
    note(7)
    yield
    Approval.objects.all().delete()


def note(reached: int, worker: str = "a") -> None:
    approvals.note(worker, reached, server=primary.server(), is_vouched_for=True)


def wait_for(reached: int | None) -> Wait:
    wait = Wait()
    wait.require(reached)
    return wait


def run(*steps: Coroutine[Any, Any, object], watch: ApprovalWatch) -> None:
    """Run steps on one event loop, and close the connection of the watch's thread."""

    async def together() -> None:
        await asyncio.wait_for(asyncio.gather(*steps), WAIT)
        watch._thread.submit(close_connection).result()
        watch.close()

    asyncio.run(together())


async def note_later(reached: int) -> None:
    """Note an epoch when the watch has looked before."""
    await asyncio.sleep(A_MOMENT)
    await asyncio.to_thread(in_thread, reached)


def in_thread(reached: int) -> None:
    note(reached)
    close_connection()


def close_connection() -> None:
    connection.close()  # the calling thread's


def test_approved_wait_ends(nudged: list[int]) -> None:
    watch = ApprovalWatch()
    wait = wait_for(7)

    run(watch.wait(wait), watch=watch)

    assert wait.seconds_left == 0
    assert nudged == [1]


def test_wait_ends_when_the_epoch_is_noted() -> None:
    watch = ApprovalWatch()
    wait = wait_for(8)

    run(watch.wait(wait), note_later(8), watch=watch)

    assert wait.seconds_left == 0
    assert approvals.read().approved == 8


def test_wait_lasts_its_time_where_a_worker_notes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", A_MOMENT)
    watch = ApprovalWatch()
    wait = wait_for(8)

    async def wait_and_look_once_more() -> None:
        await watch.wait(wait)
        assert wait._until is not None, "nobody has approved"
        assert watch._task is not None
        await watch._task

    run(wait_and_look_once_more(), watch=watch)

    assert wait.seconds_left == 0
    assert not Approval.objects.exists(), "the next change does not wait for that worker"


@pytest.mark.parametrize("other", ["epoch", "server"])
def test_approval_of_something_else_does_not_count(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", A_MOMENT)
    wait = wait_for(8 if other == "epoch" else 7)
    if other == "server":
        wait.server = "the former primary"
    watch = ApprovalWatch()

    run(watch.wait(wait), watch=watch)

    assert wait._until is not None


def test_wait_without_an_epoch_asks_nobody(monkeypatch: pytest.MonkeyPatch, nudged: list[int]) -> None:
    monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", A_MOMENT)
    watch = ApprovalWatch()

    run(watch.wait(wait_for(None)), watch=watch)

    assert nudged == []
    assert watch._task is None


def test_many_waits_share_the_looks(monkeypatch: pytest.MonkeyPatch, nudged: list[int]) -> None:
    looks: list[int] = []
    read = approvals.read

    def counted(expected: int = 0) -> Approvals:
        looks.append(1)
        return read(expected)

    monkeypatch.setattr(approvals, "read", counted)
    watch = ApprovalWatch()

    run(*(watch.wait(wait_for(7)) for _ in range(50)), watch=watch)

    assert len(looks) < 5
    assert len(nudged) < 5


def test_look_that_hangs_does_not_prolong_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", A_MOMENT)
    is_over = threading.Event()
    read = approvals.read

    def hang(expected: int = 0) -> Approvals:
        is_over.wait(WAIT)
        return read(expected)

    monkeypatch.setattr(approvals, "read", hang)
    watch = ApprovalWatch()

    async def wait() -> None:
        await watch.wait(wait_for(7))
        assert not is_over.is_set()
        is_over.set()

    run(wait(), watch=watch)


def test_watch_goes_on_when_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([OperationalError(2006, "Server has gone away")] * 3)
    read = approvals.read

    def fail_at_first(expected: int = 0) -> Approvals:
        for failure in failures:
            raise failure
        return read(expected)

    monkeypatch.setattr(approvals, "read", fail_at_first)
    watch = ApprovalWatch()
    wait = wait_for(7)

    run(watch.wait(wait), watch=watch)

    assert wait.seconds_left == 0
