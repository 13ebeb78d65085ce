"""Facts of keys that are in no database, and a clock that stands still."""

from __future__ import annotations

from typing import Any

from apikeys.permissions import Grants
from apikeys.verification import VALID, KeyFacts


class StoppedClock:
    """A substitute for the module `time`, whose clock only a test or `sleep` moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def facts(key_id: str = "key_1", agent_id: str = "agent_1", tenant_id: str = "tenant_1", **fields: Any) -> KeyFacts:
    """Return the facts of a valid key without limits."""
    given: dict[str, Any] = {
        "key_id": key_id,
        "key_name": "key",
        "tenant_id": tenant_id,
        "agent_id": agent_id,
        "agent_name": "agent",
        "config_version": 0,
        "permissions": (),
        "grants": Grants(()),
        "networks": (),
        "limits": None,
        "key_status": "active",
        "static_code": VALID,
        "expires_at": None,
        "valid_until": None,
        "rotated_secret_id": None,
        **fields,
    }
    return KeyFacts(**given)
