"""Verification of API keys: is a key valid, whose is it, and what may it do?

This is the only place that compares keys. A worker that has called `start` answers from its cache, under a
guarantee: a verification that is sent after the response to a change has arrived is never answered from before
that change, by any worker on any machine (core.epoch explains how). Data flows down this list:

    engine    the verdict: from the cache first, else by one query for all requests that wait
    lease     the right to answer from the cache
    cache     facts of keys, bounded, invalidated by key, agent and tenant
    records   facts of keys from the database
    limits    rate limits and quotas
    counting  the number of uses of each key, and of refusals
    durations how long verifications took
    refusals  why keys were refused, for their tenants
    verdicts  the types that these modules exchange
"""

from __future__ import annotations

from apikeys.verification.engine import Engine
from apikeys.verification.verdicts import (
    ADDRESS_NOT_ALLOWED,
    DISABLED,
    EXPIRED,
    EXPLANATIONS,
    LIMIT_EXCEEDED,
    MALFORMED,
    NOT_ACTIVE,
    PERMISSION_MISSING,
    UNAVAILABLE,
    UNKNOWN,
    VALID,
    Address,
    KeyFacts,
    LimitStatus,
    Remaining,
    SecretReason,
    Verdict,
    VerdictCode,
    VerificationRequest,
)

__all__ = [
    "ADDRESS_NOT_ALLOWED",
    "DISABLED",
    "EXPIRED",
    "EXPLANATIONS",
    "LIMIT_EXCEEDED",
    "MALFORMED",
    "NOT_ACTIVE",
    "PERMISSION_MISSING",
    "UNAVAILABLE",
    "UNKNOWN",
    "VALID",
    "Address",
    "KeyFacts",
    "LimitStatus",
    "Remaining",
    "SecretReason",
    "Verdict",
    "VerdictCode",
    "VerificationRequest",
    "database_is_available",
    "note_refusal",
    "nudge",
    "record_duration",
    "start",
    "stop",
    "verify",
    "verify_all",
    "verify_cached",
    "verify_stale",
]

_engine = Engine()
verify = _engine.verify
verify_all = _engine.verify_all
verify_cached = _engine.verify_cached
verify_stale = _engine.verify_stale
note_refusal = _engine.note_refusal
record_duration = _engine.record_duration
database_is_available = _engine.database_is_available
nudge = _engine.nudge
start = _engine.start
stop = _engine.stop
