from __future__ import annotations

import pytest

from agents.models import Agent
from apikeys.services import IssuedKey
from apikeys.tests.api import ENVELOPED, KINDS, KeyApi
from apikeys.tests.worker import Data, Worker
from tests.support.passes import on_sqlite_all
from tests.support.people import Person, make_key


@pytest.fixture
def issued(agent: Agent) -> IssuedKey:
    """A key of that agent, `production`."""
    return make_key(agent, "production", permissions=["chat", "config.*"])


@pytest.fixture(params=on_sqlite_all(KINDS))
def api(request: pytest.FixtureRequest, agent: Agent, alice: Person) -> KeyApi:
    """The agent's keys in each API."""
    return KeyApi(request.param, agent, alice)


@pytest.fixture(params=on_sqlite_all(ENVELOPED))
def enveloped(request: pytest.FixtureRequest, agent: Agent, alice: Person) -> KeyApi:
    """The agent's keys in each API with v2's envelope."""
    return KeyApi(request.param, agent, alice)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker with a good lease."""
    worker = Worker(monkeypatch)
    worker.renew()
    return worker


@pytest.fixture
def data(alice: Person) -> Data:
    return Data(alice)
