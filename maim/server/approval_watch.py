"""The responses to changes that wait on the event loop until all workers have approved (core.approvals)."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from apikeys import verification
from core import approvals, nudges
from core.approvals import Approvals
from core.db import DATABASE_ERRORS, retry_if_disconnected
from core.epoch import Wait

LOOK_EVERY_SECONDS = 0.01
RETRY_SECONDS = 0.1


class _Waiting(NamedTuple):
    """A response that waits; `ended` is set when the wait is over."""

    wait: Wait
    ended: asyncio.Event


class ApprovalWatch:
    """The waits of one event loop. While there are any, one thread reads the approvals for all of them."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="approvals")
        self._waiting: list[_Waiting] = []
        self._are_new = False  # whether the workers are to be nudged for some of them
        self._overdue: Wait | None = None  # the last one that was not approved in time
        self._task: asyncio.Task[None] | None = None

    async def wait(self, wait: Wait) -> None:
        """Return when no worker answers from before the changes of `wait` any more.

        That is when all have approved, or at the latest when its seconds are over, whatever becomes of the database.
        """
        waiting = _Waiting(wait, asyncio.Event())
        if wait.epoch is not None:
            self._watch(waiting)
        while seconds := wait.seconds_left:  # a timer may be early
            try:
                await asyncio.wait_for(waiting.ended.wait(), seconds)
            except TimeoutError:
                continue
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            self._overdue = wait

    def close(self) -> None:
        """Look at no approvals any more."""
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=False)

    def _watch(self, waiting: _Waiting) -> None:
        verification.nudge()  # of this process, at once
        self._waiting.append(waiting)
        self._are_new = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting or self._overdue is not None:
            waiting, overdue, are_new = list(self._waiting), self._overdue, self._are_new
            self._overdue, self._are_new = None, False
            found = await loop.run_in_executor(self._thread, partial(_look, overdue, nudge=are_new))
            for each in waiting:
                if found is not None and _is_approved(each.wait, found) and each in self._waiting:
                    self._waiting.remove(each)
                    each.wait.end()
                    each.ended.set()
            await asyncio.sleep(RETRY_SECONDS if found is None else LOOK_EVERY_SECONDS)


def _is_approved(wait: Wait, found: Approvals) -> bool:
    return wait.epoch is not None and found.covers(wait.epoch, wait.server)


def _look(overdue: Wait | None, *, nudge: bool) -> Approvals | None:
    """Return the approvals, or None if the database does not answer. Delete the rows that made a wait overdue."""
    if nudge:
        nudges.send()
    expected = 0 if overdue is None or overdue.epoch is None else overdue.epoch
    try:
        found = retry_if_disconnected(approvals.read)(expected)
        if found.has_outdated and overdue is not None:
            approvals.delete_outdated(expected, overdue.server)
    except DATABASE_ERRORS:
        return None
    return found
