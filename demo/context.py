"""The chance, the time and the storage that everything made up shares."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from random import Random

from demo.audit_trail import AuditTrail
from demo.names import Names
from demo.storage import Storage


@dataclass(frozen=True)
class Context:
    """The random numbers of a run, the time at which its history ends, and where its rows go."""

    random: Random
    now: datetime
    storage: Storage
    audit_trail: AuditTrail
    names: Names

    def moment_after(self, start: datetime) -> datetime:
        """Return a time between then and now, rather earlier than later."""
        return start + (self.now - start) * self.random.random() ** 2


def new_context(random: Random, now: datetime) -> Context:
    """Return the context of a run that begins."""
    storage = Storage()
    return Context(random, now, storage, AuditTrail(storage, random), Names(random))
