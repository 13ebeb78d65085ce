"""The memory that a worker takes for each cached key, with the finished data of its response."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from apikeys.verification import VALID, Verdict, VerificationRequest, records
from apikeys.verification.cache import KeyCache
from internal_api.key_auth import ValidateKey

pytestmark = pytest.mark.embedded

KEYS = 2000


def test_cached_key_takes_less_than_a_kibibyte() -> None:
    """Names and ids as long as usual, in objects of their own, as the database driver returns them."""
    cache = KeyCache(KEYS)

    def fill(numbers: range) -> None:
        for number in numbers:
            found = records._facts(row(number))
            data = ValidateKey(VerificationRequest("")).finished_data(Verdict(VALID, found))
            assert data is not None
            cache.set(number.to_bytes(16), found, cache.generation)

    fill(range(100))  # translations and the like are loaded once
    tracemalloc.start()
    try:
        fill(range(100, KEYS))
        size, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size / (KEYS - 100) < 1024


def row(number: int) -> records._Row:
    """Return the row of one of a hundred keys of an agent."""
    agent = number // 100
    return records._Row(
        pk=number,
        digest=f"{number:064}",
        expires_at=None,
        leaked_at=None,
        key_id=f"key_{number:012}",
        key__name=f"Key of customer {number}",
        key__tenant_id=f"tenant_{agent:012}",
        key__agent_id=f"agent_{agent:012}",
        key__permissions=json.dumps(["chat", "config_read"]),
        key__allowed_networks="[]",
        key__status="active",
        key__expires_at=None,
        key__agent__name=f"Agent {agent}",
        key__agent__status="active",
        key__agent__config_version=1,
        key__tenant__status="active",
        key__rate_limit=None,
        key__quota=None,
        key__agent__rate_limit=None,
        key__agent__quota=None,
        key__tenant__rate_limit=None,
        key__tenant__quota=None,
        key__tenant__owner_id=None,
        key__tenant__owner__is_active=None,
    )
