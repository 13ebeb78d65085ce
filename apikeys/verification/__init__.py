"""Is this key good, whose is it, and what may it do?

The one place that answers; nothing else compares keys. A worker that has called `start` answers from
memory, under a guarantee: a verification that is sent after the answer to a change has arrived is never
answered from before that change, by any worker on any machine (core.epoch says how). Data flows
down this list:

    engine    the judge: memory first, else one query for all who wait
    lease     whether memory may be believed
    memory    what is remembered
    records   what the database knows
    limits    rate limits and quotas
    counting  how often a key was used
    verdicts  what can be said of a key
"""

from __future__ import annotations

from apikeys.verification.engine import Engine
from apikeys.verification.verdicts import (
    DISABLED,
    EXPIRED,
    EXPLANATIONS,
    MALFORMED,
    NOT_ACTIVE,
    NOT_FROM_HERE,
    OVER_LIMIT,
    PERMISSION_MISSING,
    UNAVAILABLE,
    UNKNOWN,
    VALID,
    Address,
    Ask,
    KeyFacts,
    Room,
    Verdict,
    VerdictCode,
)

__all__ = [
    "DISABLED",
    "EXPIRED",
    "EXPLANATIONS",
    "MALFORMED",
    "NOT_ACTIVE",
    "NOT_FROM_HERE",
    "OVER_LIMIT",
    "PERMISSION_MISSING",
    "UNAVAILABLE",
    "UNKNOWN",
    "VALID",
    "Address",
    "Ask",
    "KeyFacts",
    "Room",
    "Verdict",
    "VerdictCode",
    "end",
    "last_known",
    "recall",
    "start",
    "verify",
    "verify_all",
]

_engine = Engine()
recall = _engine.recall
last_known = _engine.last_known
verify = _engine.verify
verify_all = _engine.verify_all
start = _engine.start
end = _engine.end
