from __future__ import annotations

import pytest

from agents.models import Agent
from apikeys.tests.doors import DOORS, ENVELOPED, KeyDoor
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent


@pytest.fixture
def agent(alice: Person) -> Agent:
    """An agent of Alice's."""
    return make_agent(alice.tenant)


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, agent: Agent, alice: Person, internal: SurfaceClient) -> KeyDoor:
    """Each door in turn."""
    return KeyDoor(request.param, agent, alice, internal)


@pytest.fixture(params=ENVELOPED)
def enveloped(request: pytest.FixtureRequest, agent: Agent, alice: Person, internal: SurfaceClient) -> KeyDoor:
    """Each door with v2's envelope in turn."""
    return KeyDoor(request.param, agent, alice, internal)
