"""The judge: from memory while the lease is good, else from the database."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from django.conf import settings
from django.utils import timezone

from apikeys import digests, keyformat
from apikeys.keyformat import MalformedKey
from apikeys.verification import records
from apikeys.verification.cache import Memory
from apikeys.verification.counting import UseCounter
from apikeys.verification.lease import Lease
from apikeys.verification.limits import Limiter, LimiterUnavailable, LocalLimiter, RedisLimiter, Use
from apikeys.verification.verdicts import (
    MALFORMED,
    OVER_LIMIT,
    UNAVAILABLE,
    UNKNOWN,
    VALID,
    Address,
    Ask,
    KeyFacts,
    Pools,
    Verdict,
)
from core import primary
from core.db import DATABASE_ERRORS, retry_if_disconnected

_MALFORMED, _UNKNOWN, _AWAY = Verdict(MALFORMED), Verdict(UNKNOWN), Verdict(UNAVAILABLE)


class Engine:
    """Judges keys. Without `start` it remembers nothing: it asks the database and writes uses at once."""

    def __init__(self) -> None:
        self._memory = Memory(settings.REMEMBERED_KEYS)
        self._lease = Lease(self._memory.forget)
        self._counter = UseCounter()
        self._limiter: Limiter = RedisLimiter(settings.REDIS_URL) if settings.REDIS_URL else LocalLimiter()
        self._is_started = False

    def start(self) -> None:
        """Begins to remember, and to count in memory; for a process that serves until `end`."""
        self._is_started = True
        self._lease.start()
        self._counter.start()

    def end(self) -> None:
        """Writes what was counted."""
        self._counter.end()

    def recall(self, ask: Ask) -> Verdict | None:
        """The verdict, as `verify` gives it, where it takes no I/O at all; else None, and nothing is counted."""
        verdict = self._recalled(ask)
        if verdict is None or _pools(verdict) is not None:
            return None
        self._count(ask, verdict)
        return verdict

    def verify(self, secret: str, address: Address | None = None, *, use: bool = False) -> Verdict:
        """Judges one key as of now."""
        return self.verify_all([Ask(secret, address, use)])[0]

    def verify_all(self, asks: Sequence[Ask]) -> list[Verdict]:
        """Judges keys as of now, with one query for all that are not remembered.

        A use counts against every limit of its key; when one is reached, the key is not good (OVER_LIMIT).
        The verdict is UNAVAILABLE where only the database knows and it does not answer, and where limits cannot be
        counted and MAIM_LIMITS_FAIL is `closed`.
        """
        recalled = [self._recalled(ask) for ask in asks]
        missed = iter(self._looked_up([ask for ask, verdict in zip(asks, recalled, strict=True) if verdict is None]))
        verdicts = self._limited(asks, [verdict or next(missed) for verdict in recalled])
        for ask, verdict in zip(asks, verdicts, strict=True):
            self._count(ask, verdict)
        return verdicts

    def last_known(self, ask: Ask) -> Verdict:
        """Judge without asking anybody, as MAIM_SERVE_STALE_SECONDS and MAIM_LIMITS_FAIL grant; else UNAVAILABLE.

        Nothing is counted.
        """
        verdict = self._stale(ask)
        return _AWAY if ask.use and _pools(verdict) is not None and not settings.LIMITS_FAIL_OPEN else verdict

    def _recalled(self, ask: Ask) -> Verdict | None:
        """The verdict on a key that is malformed, or remembered under a good lease; and on any, while the
        database is known to be away."""
        if self._lease.is_good:
            # What is remembered was well formed: to see that again would take longer than to remember it.
            fingerprint = _fingerprint(ask.secret)
            facts = self._memory.get(fingerprint)
            if facts is not None:
                return Verdict(facts.code_at(timezone.now(), ask.address), facts)
            if self._memory.is_unknown(fingerprint):
                return _UNKNOWN
        try:
            keyformat.parse(ask.secret)
        except MalformedKey:
            return _MALFORMED
        return self._stale(ask) if self._lease.is_lost else None

    def _looked_up(self, asks: Sequence[Ask]) -> list[Verdict]:
        """The verdicts as the database has them, or as they were when it last answered."""
        if not asks:
            return []
        generation = self._memory.generation
        candidates = {ask.secret: digests.all_digests(ask.secret) for ask in asks}
        try:
            found = retry_if_disconnected(records.find)(
                [digest for several in candidates.values() for digest in several]
            )
        except DATABASE_ERRORS:
            return [self._stale(ask) for ask in asks]
        facts = {
            secret: next((found[digest] for digest in several if digest in found), None)
            for secret, several in candidates.items()
        }
        # What another server said may be untrue by the time that this one's lease begins.
        if self._lease.is_good and self._lease.server == primary.server():
            for secret in candidates:
                self._memory.remember(_fingerprint(secret), facts[secret], generation)
        return [_verdict(facts[ask.secret], ask) for ask in asks]

    def _stale(self, ask: Ask) -> Verdict:
        """What was last known of a key, within MAIM_SERVE_STALE_SECONDS; else UNAVAILABLE."""
        is_good = self._lease.is_good
        facts = self._memory.get(_fingerprint(ask.secret))
        if facts is None or not (is_good or self._lease.seconds_over < settings.SERVE_STALE_SECONDS):
            return _AWAY
        # The lease may have become good since the database was asked in vain: then memory is the truth.
        return _verdict(facts, ask)._replace(stale=not is_good)

    def _limited(self, asks: Sequence[Ask], verdicts: Sequence[Verdict]) -> list[Verdict]:
        """The verdicts with how their keys stand with their limits, after a use where one is asked for."""
        limited = list(verdicts)
        uses = {
            number: Use(pools, ask.use)
            for number, (ask, verdict) in enumerate(zip(asks, verdicts, strict=True))
            if (pools := _pools(verdict)) is not None
        }
        if not uses:
            return limited
        try:
            standings = self._limiter.take(list(uses.values()))
        except (LimiterUnavailable, *DATABASE_ERRORS):  # a quota begins as what the database has counted
            for number, use in uses.items():
                if use.consume and not settings.LIMITS_FAIL_OPEN:
                    limited[number] = _AWAY
            return limited
        for number, standing in zip(uses, standings, strict=True):
            code = OVER_LIMIT if standing.is_over else VALID
            limited[number] = verdicts[number]._replace(code=code, standing=standing)
        return limited

    def _count(self, ask: Ask, verdict: Verdict) -> None:
        if ask.use and verdict.is_good and verdict.facts is not None:
            self._counter.count(verdict.facts, timezone.now())
            if not self._is_started:
                self._counter.write()


_fingerprints = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=16)


def _fingerprint(secret: str) -> bytes:
    """What a secret is remembered under: made in a fraction of the time of a digest, and of no use to any
    other process."""
    mine = _fingerprints.copy()
    mine.update(secret.encode())
    return mine.digest()


def _verdict(facts: KeyFacts | None, ask: Ask) -> Verdict:
    return _UNKNOWN if facts is None else Verdict(facts.code_at(timezone.now(), ask.address), facts)


def _pools(verdict: Verdict) -> Pools | None:
    """What a use of a good key counts against."""
    return verdict.facts.pools if verdict.is_good and verdict.facts is not None else None
