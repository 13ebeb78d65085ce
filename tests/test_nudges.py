"""A change on the public surface of a server without Redis, which nudges the internal worker through a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.instances import wait_until
from tests.support.server import MaimServer

pytestmark = pytest.mark.embedded

POLL_SECONDS = 1.0
# Leases that outlast two polls, so that no change of a nudged worker has to wait for one.
SERVE = (
    "-m",
    "tests.support.serve_with",
    f"POLL_SECONDS={POLL_SECONDS}",
    "LEASE_SECONDS=4",
    "PROPAGATION_SECONDS=4",
)


@pytest.fixture
def public(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of Alice, who has just signed in."""
    maim = MaimServer(tmp_path, "maim", serve=SERVE, DATABASE_URL=f"sqlite:///{tmp_path}/maim.sqlite3", REDIS_URL="")
    credentials = {"username": "alice", "password": "password123"}
    with maim, maim.client("public") as client:
        client.post("/api/v1/auth/register", json=credentials)
        token = client.post("/api/v1/auth/login", json=credentials).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def test_change_without_redis_does_not_wait_for_the_next_poll(public: httpx.Client) -> None:
    agent = public.post("/api/v1/agents", json={"name": "bot"}).json()["id"]
    key = public.post(f"/api/v1/agents/{agent}/api_keys", json={"name": "key"}).json()["id"]

    def change() -> float:
        began = time.monotonic()
        assert public.post(f"/api/v1/api-keys/{key}/disable").status_code == 200
        return time.monotonic() - began

    wait_until(lambda: change() < 2 * POLL_SECONDS, "the worker approves")
    change()
    # Each would be answered at the next poll, a second after the one before.
    assert min(change() for _ in range(4)) < POLL_SECONDS / 2
