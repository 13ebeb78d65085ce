"""Fixtures for tests of bulk operations."""

from __future__ import annotations

import pytest

from agents.models import Agent
from apikeys.models import ApiKey
from operations.changes import CHANGES
from tests.support.people import Person, make_agent


@pytest.fixture
def agent(alice: Person) -> Agent:
    """Alice's agent with five keys, in the order of their ids `k0` to `k4`."""
    agent = make_agent(alice.tenant, "bot")
    for number in range(5):
        key = ApiKey(pk=f"k{number}", tenant=alice.tenant, agent=agent)
        key.set_name(f"name {number}")
        key.save(force_insert=True)
    return agent


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of two objects."""
    for kind, change in CHANGES.items():
        monkeypatch.setitem(CHANGES, kind, change._replace(chunk=2))
