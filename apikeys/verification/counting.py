"""Uses of keys, counted in memory and written together.

A use costs an addition. Every WRITE_EVERY_SECONDS the sums are written in a few statements, however many keys were
used. A counter that is stopped writes what it holds; one that is killed loses less than a second.

When the connection breaks during a commit, nobody knows whether the database has carried it out. So each batch has a
number, which is stored in the same transaction: a batch that is repeated under its number is written once.
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
# Putting a batch together takes some 3 ms, for which the event loop may have to wait. It runs during the statements.
MAX_BATCH_SIZE = 1000


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
    """A counter of uses, for any number of threads. `start` begins to write them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._sums: dict[int, _Sum] = {}  # by the identity of facts, which a sum keeps alive
        self._queue: list[Uses] = []  # sums of past days, and those that could not be written
        self._batch = Batch(secrets.token_hex(16), 0)  # the latest batch
        self._unconfirmed: list[Uses] = []  # the content of the latest batch, until it is known to be written
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="use-counter", daemon=True)

    def count(self, facts: KeyFacts, moment: datetime) -> None:
        """Add one use."""
        by = id(facts)
        with self._lock:
            found = self._sums.get(by)
            if found is not None and found.last.day == moment.day:
                found.number += 1
                found.last = moment
                return
            if found is not None:
                self._queue.append(found.uses())
            self._sums[by] = _Sum(facts, moment)

    def start(self) -> None:
        """Begin to write what is counted, until `stop`."""
        # Anew, because workers are forked with one counter: of two with one name, a batch would pass for the other's.
        self._batch = Batch(secrets.token_hex(16), 0)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and stop. Return when it is written, or after five seconds."""
        self._stopping.set()
        self._thread.join(5)

    def write(self) -> None:
        """Write what was counted so far. Keep what the database does not accept for the next time."""
        with self._write_lock:
            self._write()

    def _write(self) -> None:
        with self._lock:
            sums, self._sums = self._sums, {}
            queue, self._queue = self._queue, []
        # Queued uses are merged with those of the same keys, or the queue would grow as long as the database is away.
        counted = [each.uses() for each in sums.values()]
        queue = _merged([*queue, *counted]) if queue else counted
        primary.drop_obsolete_connection()
        try:
            while self._unconfirmed or queue:
                if not self._unconfirmed:
                    self._unconfirmed, queue = queue[:MAX_BATCH_SIZE], queue[MAX_BATCH_SIZE:]
                    self._batch = self._batch._replace(number=self._batch.number + 1)
                usage.add(self._unconfirmed, self._batch)
                self._unconfirmed = []
        except Error as error:
            log.warning("uses are kept until the database takes them: %s", error)
            connection.close()
        finally:
            # Also after an unexpected exception, or the uses would be lost.
            with self._lock:
                self._queue += queue

    def _run(self) -> None:
        while not self._stopping.wait(WRITE_EVERY_SECONDS):
            try:
                self.write()
            except Exception:  # the thread's outermost frame: its end would be the end of all counting
                log.exception("a fault in the writing of uses")
        self.write()


def _merged(several: Iterable[Uses]) -> list[Uses]:
    """Return one entry for each key, secret and day."""
    merged: dict[tuple[str, date, int | None], Uses] = {}
    for uses in several:
        by = uses.key_id, uses.day, uses.rotated_secret_id
        before = merged.get(by)
        merged[by] = (
            uses if before is None else Uses(*uses[:5], before.number + uses.number, max(before.last, uses.last))
        )
    return list(merged.values())
