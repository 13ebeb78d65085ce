"""Uses of keys and outcomes of verifications, counted in memory and written together, with the refusals noted.

A use costs an addition, and so does a refusal. The uses of a minute are also its verifications of valid keys. Every
WRITE_EVERY_SECONDS the sums are written in a few statements, however many keys were used. A counter that is stopped
writes what it holds; one that is killed loses less than a second.

When the connection breaks during a commit, nobody knows whether the database has carried it out. So each batch has a
number, which is stored in the same transaction: a batch that is repeated under its number is written once.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import NamedTuple

from django.db import Error, connection

from apikeys import notices, usage
from apikeys.outcomes import INSTALLATION, Outcomes
from apikeys.periods import MINUTE
from apikeys.refusals import Refused
from apikeys.usage import Uses
from apikeys.verification.durations import DurationCounts
from apikeys.verification.quota_notes import QuotaNotes
from apikeys.verification.refusals import RefusalLog
from apikeys.verification.verdicts import PERMISSION_MISSING, VALID, KeyFacts, Verdict
from core import primary
from core.idempotency import Batch

log = logging.getLogger("maim.keys")

WRITE_EVERY_SECONDS = 0.8
# Putting a batch together takes some 3 ms, for which the event loop may have to wait. It runs during the statements.
MAX_BATCH_SIZE = 1000
# While the database takes nothing, beyond so many sums of outcomes their minutes are merged into hours.
MAX_KEPT_OUTCOMES = 100_000


class _Sum:
    """The uses and refusals of one secret of a key in one minute.

    A use without the permission that its client required is in both.
    """

    __slots__ = ("facts", "last", "number", "refusals")

    def __init__(self, facts: KeyFacts, moment: datetime) -> None:
        self.facts, self.number, self.last = facts, 0, moment
        self.refusals: dict[str, int] | None = None  # by code, of the few keys that have any

    def refuse(self, code: str) -> None:
        if self.refusals is None:
            self.refusals = defaultdict(int)
        self.refusals[code] += 1

    def uses(self) -> Uses:
        facts, last = self.facts, self.last
        return Uses(
            facts.key_id, last.date(), facts.agent_id, facts.tenant_id, facts.rotated_secret_id, self.number, last
        )

    def outcomes(self) -> dict[str, int]:
        """Return the numbers of verifications by code."""
        if self.refusals is None:
            return {VALID: self.number}
        valid = self.number - self.refusals.get(PERMISSION_MISSING, 0)
        return {**self.refusals, VALID: valid} if valid else self.refusals


class _Minute:
    """The counts of a minute: of keys, by the identity of facts that a sum keeps alive, and of unknown keys."""

    __slots__ = ("end", "start", "sums", "unknown")

    def __init__(self, moment: datetime) -> None:
        self.start = moment.replace(second=0, microsecond=0)
        self.end = self.start + MINUTE
        self.sums: dict[int, _Sum] = {}
        self.unknown: defaultdict[str, int] = defaultdict(int)  # refusals by code

    def outcomes(self) -> Iterator[Outcomes]:
        """Yield the numbers of verifications."""
        for each in self.sums.values():
            facts = each.facts
            for code, number in each.outcomes().items():
                yield Outcomes(self.start, facts.tenant_id, facts.agent_id, facts.key_id, code, number)
        for code, number in self.unknown.items():
            yield Outcomes(self.start, INSTALLATION, "", "", code, number)


class _Content(NamedTuple):
    """The content of a batch."""

    uses: list[Uses]
    outcomes: list[Outcomes]
    refusals: list[Refused]
    took: list[int]


class UseCounter:
    """A counter of uses and refusals, for any number of threads. `start` begins to write them."""

    def __init__(self) -> None:
        self.refusal_log = RefusalLog()
        self.durations = DurationCounts()
        self.quota_notes = QuotaNotes()
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._minute = _Minute(datetime(1970, 1, 1, tzinfo=UTC))
        self._past: list[_Minute] = []
        self._queue: list[Uses] = []  # uses that could not be written
        self._outcomes: list[Outcomes] = []  # the same of outcomes
        self._batch = Batch(secrets.token_hex(16), 0)  # the latest batch
        self._unconfirmed: _Content | None = None  # the content of the latest batch, until it is known to be written
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def count(self, facts: KeyFacts, moment: datetime, *, has_permission: bool = True) -> None:
        """Add one use, whose outcome is PERMISSION_MISSING if the key does not have the permission required."""
        by = id(facts)
        with self._lock:
            minute = self._minute_of(moment)
            found = minute.sums.get(by)
            if found is None:
                found = minute.sums[by] = _Sum(facts, moment)
            found.number += 1
            found.last = moment
            if not has_permission:
                found.refuse(PERMISSION_MISSING)

    def count_refusal(self, verdict: Verdict, moment: datetime) -> None:
        """Add one refusal, to the key if it is known."""
        facts = verdict.facts
        with self._lock:
            minute = self._minute_of(moment)
            if facts is None:
                minute.unknown[verdict.code] += 1
                return
            found = minute.sums.get(id(facts))
            if found is None:
                found = minute.sums[id(facts)] = _Sum(facts, moment)
            found.refuse(verdict.code)

    def start(self) -> None:
        """Begin to write what is counted, until `stop`."""
        # Anew, because workers are forked with one counter: of two with one name, a batch would pass for the other's.
        self._batch = Batch(secrets.token_hex(16), 0)
        # Not before either, because Python 3.13 starts no thread that was made before a fork.
        self._thread = threading.Thread(target=self._run, name="use-counter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and stop. Return when it is written, or after five seconds."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5)

    def write(self) -> None:
        """Write what was counted so far. Keep what the database does not accept for the next time."""
        with self._write_lock:
            self._write()
            self._tell_quotas()

    def _write(self) -> None:
        queue, outcomes = self._collect()
        refusals, took = self.refusal_log.take(), self.durations.take()
        primary.drop_obsolete_connection()
        try:
            while self._unconfirmed is not None or queue or outcomes or refusals or took:
                if self._unconfirmed is None:
                    self._unconfirmed = _Content(
                        queue[:MAX_BATCH_SIZE], outcomes[:MAX_BATCH_SIZE], refusals[:MAX_BATCH_SIZE], took
                    )
                    queue, outcomes = queue[MAX_BATCH_SIZE:], outcomes[MAX_BATCH_SIZE:]
                    refusals, took = refusals[MAX_BATCH_SIZE:], []
                    self._batch = self._batch._replace(number=self._batch.number + 1)
                content = self._unconfirmed
                usage.add(content.uses, self._batch, content.outcomes, content.refusals, content.took)
                self._unconfirmed = None
        except Error as error:
            log.warning("uses are kept until the database takes them: %s", error)
            connection.close()
        finally:
            # Also after an unexpected exception, or the uses would be lost.
            self._queue = queue
            self.refusal_log.put_back(refusals)
            self.durations.put_back(took)
            self._outcomes = outcomes

    def _tell_quotas(self) -> None:
        """Tell tenants of the quotas that were noted. Keep what the database does not accept for the next time."""
        levels = self.quota_notes.take()
        if not levels:
            return
        try:
            notices.notify_quotas(levels)
        except Error as error:
            log.warning("notices of quotas are kept until the database takes them: %s", error)
            self.quota_notes.put_back(levels)
            connection.close()

    def _collect(self) -> tuple[list[Uses], list[Outcomes]]:
        """Take what was counted since the last time, together with what could not be written."""
        with self._lock:
            minutes, self._past = [*self._past, self._minute], []
            self._minute = _Minute(self._minute.start)
        counted = [each.uses() for minute in minutes for each in minute.sums.values() if each.number]
        outcomes = [each for minute in minutes for each in minute.outcomes()]
        # What is queued is merged with what is new, or it would grow as long as the database is away.
        if self._queue:
            counted = _merged([*self._queue, *counted])
        if self._outcomes:
            outcomes = _merged_outcomes([*self._outcomes, *outcomes])
        return counted, outcomes

    def _minute_of(self, moment: datetime) -> _Minute:
        """Return the minute of a moment: the latest one, or a new one."""
        if not self._minute.start <= moment < self._minute.end:
            self._past.append(self._minute)
            self._minute = _Minute(moment)
        return self._minute

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


def _merged_outcomes(several: list[Outcomes]) -> list[Outcomes]:
    """Return one entry for each key, code and minute. Of too many, the first minute of an hour stands for the hour."""
    if len(several) > MAX_KEPT_OUTCOMES:
        several = [each._replace(minute=each.minute.replace(minute=0)) for each in several]
    sums: defaultdict[tuple[datetime, str, str, str, str], int] = defaultdict(int)
    for each in several:
        sums[each[:5]] += each.number
    return [Outcomes(*by, number) for by, number in sums.items()]
