"""Audit entries of a made-up history, written in the order of their times, as those of a real one are."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any

from core.actor import Actor, ActorKind
from core.audit import AuditChange, build_entry
from demo.storage import Storage

_Entry = tuple[datetime, int, Actor, str, AuditChange]


class AuditTrail:
    """Audit entries that were recorded in any order, and are written in the order of their times."""

    def __init__(self, storage: Storage, random: Random) -> None:
        self._storage = storage
        self._random = random
        self._waiting: list[_Entry] = []
        self._number = 0

    def record(
        self,
        at: datetime,
        actor: Actor,
        action: str,
        object_id: str,
        tenant_id: str | None,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a change, for `write_up_to` to write."""
        self._number += 1  # the order of changes of the same time
        change = AuditChange(object_id, tenant_id, before, after)
        heapq.heappush(self._waiting, (at, self._number, actor, action, change))

    def write_up_to(self, moment: datetime) -> None:
        """Write the changes up to a moment. None before it may be recorded afterwards."""
        while self._waiting and self._waiting[0][0] <= moment:
            at, _number, actor, action, change = heapq.heappop(self._waiting)
            self._storage.add(build_entry(actor, action, change, at=at))

    def person(self, user_id: str, username: str) -> Actor:
        """Return a person as the actor of a request."""
        number = self._random.getrandbits(64)
        address = f"203.0.113.{number % 254 + 1}"  # of a network for documentation
        return Actor(kind=ActorKind.USER, id=user_id, label=username, request_id=f"req_{number:016x}", address=address)
