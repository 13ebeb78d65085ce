"""Uses of keys, counted in memory and written together.

A use costs an addition; every WRITE_EVERY_SECONDS the sums become a few statements, however many keys
were used. A counter that is ended writes what it holds; one that is killed loses less than a second.

Where a database breaks off, nobody knows whether it has carried out the commit. So what is written is
numbered, and the number is noted with it: repeated under the same number it is written once.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterable
from datetime import date, datetime

from django.db import Error, connection

from apikeys import usage
from apikeys.usage import Uses
from apikeys.verification.verdicts import KeyFacts
from core import primary
from core.idempotency import Batch

log = logging.getLogger("maim.keys")

WRITE_EVERY_SECONDS = 0.8
KEYS_AT_ONCE = 2000


class _Sum:
    """The uses of one secret of a key on one day."""

    __slots__ = ("facts", "last", "number")

    def __init__(self, facts: KeyFacts, moment: datetime) -> None:
        self.facts, self.number, self.last = facts, 1, moment

    def uses(self) -> Uses:
        facts, last = self.facts, self.last
        return Uses(
            facts.key_id, last.date(), facts.agent_id, facts.tenant_id, facts.rotated_secret_id, self.number, last
        )


class UseCounter:
    """Counts uses from any thread; `start` begins to write them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._batch = Batch(secrets.token_hex(16), 0)  # the last that was begun
        self._under_way: list[Uses] = []  # what is in it, until it is known to be written
        self._sums: dict[tuple[str, int | None], _Sum] = {}
        self._waiting: list[Uses] = []  # sums of days that are over, and what the database did not take
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="use-counter", daemon=True)

    def count(self, facts: KeyFacts, moment: datetime) -> None:
        """Adds one use."""
        by = facts.key_id, facts.rotated_secret_id
        with self._lock:
            found = self._sums.get(by)
            if found is not None and found.last.day == moment.day:
                found.number += 1
                found.last = moment
                return
            if found is not None:
                self._waiting.append(found.uses())
            self._sums[by] = _Sum(facts, moment)

    def start(self) -> None:
        """Begins to write what is counted, until `end`."""
        self._thread.start()

    def end(self) -> None:
        """Writes what is left and stops; returns when it is written, or after five seconds."""
        self._ending.set()
        self._thread.join(5)

    def write(self) -> None:
        """Writes what was counted so far. What the database does not take is kept for the next time."""
        with self._writing:
            self._write()

    def _write(self) -> None:
        with self._lock:
            sums, self._sums = self._sums, {}
            waiting, self._waiting = self._waiting, []
        # What waits may be of the same keys, and there is to be no end of it while the database is away.
        counted = [each.uses() for each in sums.values()]
        waiting = _merged([*waiting, *counted]) if waiting else counted
        primary.drop_obsolete_connection()
        try:
            while self._under_way or waiting:
                if not self._under_way:
                    self._under_way, waiting = waiting[:KEYS_AT_ONCE], waiting[KEYS_AT_ONCE:]
                    self._batch = self._batch._replace(number=self._batch.number + 1)
                usage.add(self._under_way, self._batch)
                self._under_way = []
        except Error as error:
            log.warning("uses are kept until the database takes them: %s", error)
            connection.close()
        finally:
            # After a fault of ours too, or its uses would be lost.
            with self._lock:
                self._waiting += waiting

    def _run(self) -> None:
        while not self._ending.wait(WRITE_EVERY_SECONDS):
            try:
                self.write()
            except Exception:  # the thread's outermost frame: ended, it would end all counting
                log.exception("a fault in the writing of uses")
        self.write()


def _merged(several: Iterable[Uses]) -> list[Uses]:
    """One entry for each key, secret and day."""
    merged: dict[tuple[str, date, int | None], Uses] = {}
    for uses in several:
        by = uses.key_id, uses.day, uses.rotated_secret_id
        before = merged.get(by)
        merged[by] = (
            uses if before is None else Uses(*uses[:5], before.number + uses.number, max(before.last, uses.last))
        )
    return list(merged.values())
