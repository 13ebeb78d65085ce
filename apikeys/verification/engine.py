"""Verdicts on keys: from the cache while the lease is valid, else from the database."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from django.conf import settings

from apikeys import digests, keyformat
from apikeys.keyformat import MalformedKey
from apikeys.notices import QuotaLevel
from apikeys.verification import records
from apikeys.verification.cache import KeyCache
from apikeys.verification.counting import UseCounter
from apikeys.verification.lease import Lease
from apikeys.verification.limits import InMemoryLimiter, Limiter, LimiterUnavailable, RedisLimiter, Use
from apikeys.verification.verdicts import (
    LIMIT_EXCEEDED,
    MALFORMED,
    UNAVAILABLE,
    UNKNOWN,
    VALID,
    Address,
    KeyFacts,
    Limits,
    NearQuota,
    Verdict,
    VerificationRequest,
)
from core import primary
from core.db import DATABASE_ERRORS, retry_if_disconnected

_MALFORMED, _UNKNOWN, _UNAVAILABLE = Verdict(MALFORMED), Verdict(UNKNOWN), Verdict(UNAVAILABLE)


class Engine:
    """Verifies keys. Before `start` it caches nothing: it queries the database and writes uses at once."""

    def __init__(self) -> None:
        self._cache = KeyCache(settings.REMEMBERED_KEYS)
        self._lease = Lease(self._cache)
        self._counter = UseCounter()
        # Called with the seconds from a request to its response, for each verification.
        self.record_duration = self._counter.durations.add
        self._limiter: Limiter = RedisLimiter(settings.REDIS_URL) if settings.REDIS_URL else InMemoryLimiter()
        self._is_started = False

    def start(self) -> None:
        """Begin to cache keys and to count uses in memory. A process that serves does this, until `stop`."""
        self._is_started = True
        self._lease.start()
        self._counter.start()

    def stop(self) -> None:
        """Write the uses that were counted."""
        self._counter.stop()

    def nudge(self) -> None:
        """Let a worker that has started learn soon of a change that has just been committed."""
        self._lease.nudge()

    def database_is_available(self) -> bool:
        """Return whether the database counts as available, by the last reading of the epoch."""
        return not self._lease.is_lost

    def verify_cached(self, request: VerificationRequest) -> Verdict | None:
        """Return what `verify` would if that takes no I/O. Otherwise return None and count nothing."""
        moment = datetime.now(UTC)
        verdict = self._cached_verdict(request, moment)
        if verdict is None:
            return None
        facts = verdict.facts
        if facts is not None and verdict.is_valid:
            if facts.limits is not None:
                return None
            if request.use:
                self._count(facts, request, moment)
        elif request.use:
            self._count_refusal(verdict, moment)
        return verdict

    def verify(self, secret: str, address: Address | None = None, *, use: bool = False) -> Verdict:
        """Verify one key as of now."""
        return self.verify_all([VerificationRequest(secret, address, use)])[0]

    def verify_all(self, requests: Sequence[VerificationRequest]) -> list[Verdict]:
        """Verify keys as of now, with one query for all that are not cached.

        A use counts against every limit of its key. When one is reached, the verdict is LIMIT_EXCEEDED. The verdict is
        UNAVAILABLE if the database is needed and does not answer, and if limits cannot be counted and MAIM_LIMITS_FAIL
        is `closed`.
        """
        moment = datetime.now(UTC)
        cached = [self._cached_verdict(request, moment) for request in requests]
        missing = [request for request, verdict in zip(requests, cached, strict=True) if verdict is None]
        read = iter(self._read_verdicts(missing))
        verdicts = self._apply_limits(requests, [verdict or next(read) for verdict in cached])
        for request, verdict in zip(requests, verdicts, strict=True):
            if not request.use:
                continue
            if verdict.is_valid and verdict.facts is not None:
                self._count(verdict.facts, request, datetime.now(UTC))
            else:
                self._count_refusal(verdict, datetime.now(UTC))
        return verdicts

    def verify_stale(self, request: VerificationRequest) -> Verdict:
        """Verify a key from the cache alone, however old it is, as far as MAIM_SERVE_STALE_SECONDS and MAIM_LIMITS_FAIL
        allow. Otherwise return UNAVAILABLE. Count nothing.
        """
        verdict = self._stale_verdict(request)
        if request.use and _limits(verdict) is not None and not settings.LIMITS_FAIL_OPEN:
            return _UNAVAILABLE
        return verdict

    def note_refusal(self, verdict: Verdict, code: str, *, address: Address | None, request_id: str) -> None:
        """Record the refusal of a known key for its tenant, if the engine is started."""
        if self._is_started:
            log = self._counter.refusal_log
            log.note(verdict, code, moment=datetime.now(UTC), address=address, request_id=request_id)

    def _cached_verdict(self, request: VerificationRequest, moment: datetime) -> Verdict | None:
        """Return the verdict on a key that is malformed, or cached under a valid lease.

        While the database counts as unavailable, return a verdict on any key.
        """
        if self._lease.is_valid:
            # The cache comes before the format, because only well-formed keys are in it and parsing takes longer.
            fingerprint = _fingerprint(request.secret)
            facts = self._cache.get(fingerprint)
            if facts is not None:
                return _verdict(facts, request, moment)
            if self._cache.is_unknown(fingerprint):
                return _UNKNOWN
        try:
            keyformat.parse(request.secret)
        except MalformedKey:
            return _MALFORMED
        return self._stale_verdict(request) if self._lease.is_lost else None

    def _read_verdicts(self, requests: Sequence[VerificationRequest]) -> list[Verdict]:
        """Return verdicts from the database, or stale ones if it does not answer."""
        if not requests:
            return []
        generation = self._cache.generation
        candidates = {request.secret: digests.all_digests(request.secret) for request in requests}
        try:
            found = retry_if_disconnected(records.find)(
                [digest for several in candidates.values() for digest in several]
            )
        except DATABASE_ERRORS:
            return [self._stale_verdict(request) for request in requests]
        facts = {
            secret: next((found[digest] for digest in several if digest in found), None)
            for secret, several in candidates.items()
        }
        # An answer of another server may be outdated by the time that this server's lease begins.
        if self._lease.is_valid and self._lease.server == primary.server():
            for secret in candidates:
                self._cache.set(_fingerprint(secret), facts[secret], generation)
        moment = datetime.now(UTC)
        return [_verdict(facts[request.secret], request, moment) for request in requests]

    def _stale_verdict(self, request: VerificationRequest) -> Verdict:
        """Return the last known verdict on a key, within MAIM_SERVE_STALE_SECONDS, else UNAVAILABLE."""
        is_valid = self._lease.is_valid
        facts = self._cache.get(_fingerprint(request.secret))
        if facts is None or not (is_valid or self._lease.seconds_over < settings.SERVE_STALE_SECONDS):
            return _UNAVAILABLE
        # The lease may have become valid since the database failed to answer. Then the cache is not stale.
        return _verdict(facts, request, datetime.now(UTC))._replace(stale=not is_valid)

    def _apply_limits(self, requests: Sequence[VerificationRequest], verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Return the verdicts with the state of their keys' limits, after a use where one is requested."""
        limited = list(verdicts)
        uses = {
            number: Use(limits, request.use)
            for number, (request, verdict) in enumerate(zip(requests, verdicts, strict=True))
            if (limits := _limits(verdict)) is not None
        }
        if not uses:
            return limited
        try:
            statuses = self._limiter.take(list(uses.values()))
        except (LimiterUnavailable, *DATABASE_ERRORS):  # a quota starts at what the database has counted
            for number, use in uses.items():
                if use.consume and not settings.LIMITS_FAIL_OPEN:
                    limited[number] = _UNAVAILABLE
            return limited
        for number, status in zip(uses, statuses, strict=True):
            code = LIMIT_EXCEEDED if status.is_exceeded else VALID
            limited[number] = verdicts[number]._replace(code=code, limit_status=status)
            if status.near:
                self._note_quotas(uses[number].limits.tenant_id, status.near)
        return limited

    def _note_quotas(self, tenant_id: str, quotas: Sequence[NearQuota]) -> None:
        """Record quotas that are nearly used up, for a notice to their tenant, if the engine is started."""
        if self._is_started:
            self._counter.quota_notes.note(
                [
                    QuotaLevel(tenant_id, near.quota.subject, near.period, near.quota.limit, near.percent)
                    for near in quotas
                ]
            )

    def _count(self, facts: KeyFacts, request: VerificationRequest, moment: datetime) -> None:
        self._counter.count(facts, moment, has_permission=facts.satisfy(request.requirement))
        if not self._is_started:
            self._counter.write()

    def _count_refusal(self, verdict: Verdict, moment: datetime) -> None:
        """Count a refusal, where a process serves: any other would have to write for each, which is too much for junk.

        UNAVAILABLE is no outcome.
        """
        if self._is_started and verdict.code != UNAVAILABLE:
            self._counter.count_refusal(verdict, moment)


_keyed_hash = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=16)


def _fingerprint(secret: str) -> bytes:
    """Return the cache key of a secret. It is faster to make than a digest, and useless to any other process."""
    fingerprint = _keyed_hash.copy()
    fingerprint.update(secret.encode())
    return fingerprint.digest()


def _verdict(facts: KeyFacts | None, request: VerificationRequest, moment: datetime) -> Verdict:
    return _UNKNOWN if facts is None else Verdict(facts.code_at(moment, request.address), facts)


def _limits(verdict: Verdict) -> Limits | None:
    """Return the limits of a valid key."""
    return verdict.facts.limits if verdict.is_valid and verdict.facts is not None else None
