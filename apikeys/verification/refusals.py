"""The refusals that a worker has noted and not written yet."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from apikeys.refusals import Refused
from apikeys.verification.verdicts import LIMIT_EXCEEDED, Address, KeyFacts, Verdict

# At most so many are noted in a minute, the first ones. A client that hammers with a key hides no other's refusal.
MAX_OF_KEY, MAX_OF_TENANT, MAX_OF_ALL = 10, 60, 1000
# So many wait while the database takes nothing.
MAX_WAITING = 2000


class RefusalLog:
    """A bounded list of refusals, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = -1
        self._noted = Counter[str]()  # in this minute, by key, by tenant, and under "" in all
        self._waiting: list[Refused] = []

    def note(self, verdict: Verdict, code: str, *, moment: datetime, address: Address | None, request_id: str) -> None:
        """Note that a known key was refused, unless there were enough refusals in this minute."""
        facts = verdict.facts
        assert facts is not None
        with self._lock:
            if self._admits(facts, int(moment.timestamp()) // 60):
                self._waiting.append(
                    Refused(
                        tenant_id=facts.tenant_id,
                        agent_id=facts.agent_id,
                        key_id=facts.key_id,
                        code=str(code),
                        reason=_reason(verdict, facts, code, moment),
                        at=moment,
                        request_id=request_id,
                        client_ip=None if address is None else str(address),
                    )
                )

    def take(self) -> list[Refused]:
        """Return what was noted since the last time, for writing."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def put_back(self, refusals: Iterable[Refused]) -> None:
        """Keep what could not be written for the next time."""
        with self._lock:
            self._waiting = [*refusals, *self._waiting][:MAX_WAITING]

    def _admits(self, facts: KeyFacts, minute: int) -> bool:
        if minute != self._minute:
            self._minute = minute
            self._noted.clear()
        noted = self._noted
        if (
            noted[facts.key_id] >= MAX_OF_KEY
            or noted[facts.tenant_id] >= MAX_OF_TENANT
            or noted[""] >= MAX_OF_ALL
            or len(self._waiting) >= MAX_WAITING
        ):
            return False
        noted.update((facts.key_id, facts.tenant_id, ""))
        return True


def _reason(verdict: Verdict, facts: KeyFacts, code: str, moment: datetime) -> str | None:
    """Return what the code leaves open: which limit is reached, or that the secret alone is not good any more."""
    if code == LIMIT_EXCEEDED:
        quota = verdict.limit_status.quota
        return "quota" if quota is not None and not quota.remaining else "rate_limit"
    return facts.secret_reason_at(moment)
