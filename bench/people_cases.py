"""Cases of v1, as the console uses it for a person who is signed in."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import httpx

from bench.config_cases import SMALL_CONFIG
from bench.harness import Bench
from bench.load import TIMEOUT_SECONDS, Load, Request, Wrong
from bench.rounds import Result
from bench.services import Maim

LISTED = 20
CREDENTIALS = {"username": "alice", "password": "password123"}
SIGN_INS = 10


def listed(bench: Bench) -> Result:
    """List twenty agents."""
    maim, headers, _ids = signed_in(bench)
    return bench.compared(maim, reading(bench, maim, headers, f"/agents?limit={LISTED}"))


def agent(bench: Bench) -> Result:
    """Read an agent, one of twenty."""
    maim, headers, ids = signed_in(bench)
    return bench.compared(maim, reading(bench, maim, headers, *(f"/agents/{agent_id}" for agent_id in ids)))


def profile(bench: Bench) -> Result:
    """Read who is signed in."""
    maim, headers, _ids = signed_in(bench)
    return bench.compared(maim, reading(bench, maim, headers, "/auth/me"))


def beside_sign_ins(bench: Bench) -> Result:
    """Read an agent while ten clients sign in again and again."""
    maim, headers, ids = signed_in(bench)
    load = reading(bench, maim, headers, *(f"/agents/{agent_id}" for agent_id in ids))
    beside = bench.measuring(maim, load, going_on=lambda: SignIns(maim))
    return bench.rounds.against("the same alone", bench.measuring(maim, load), beside)


class SignIns:
    """A context manager in which clients sign in as fast as they are answered."""

    def __init__(self, maim: Maim) -> None:
        self._maim = maim
        self._threads = ThreadPoolExecutor(SIGN_INS)
        self._clients: list[Future[None]] = []
        self._is_over = False

    def __enter__(self) -> Self:
        self._clients = [self._threads.submit(self._run) for _ in range(SIGN_INS)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        for each in self._clients:
            each.result()
        self._threads.shutdown()

    def _run(self) -> None:
        with httpx.Client(base_url=f"{self._maim.public}/api/v1", timeout=TIMEOUT_SECONDS) as client:
            while not self._is_over:
                response = client.post("/auth/login", json=CREDENTIALS)
                # 503 is the answer beyond those that wait for a hash.
                if response.status_code not in (200, 503):
                    raise Wrong(f"a sign-in was answered {response.status_code}")


def signed_in(bench: Bench) -> tuple[Maim, dict[str, str], list[str]]:
    """Return a maim, the headers of a person who is signed in, and the ids of this person's twenty agents."""
    maim = bench.services.maim(bench.sizes.few)
    bench.services.run_only(maim)
    with httpx.Client(base_url=f"{maim.public}/api/v1", timeout=TIMEOUT_SECONDS) as client:
        client.post("/auth/register", json=CREDENTIALS)  # done already where this runs again
        token = client.post("/auth/login", json=CREDENTIALS).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        for number in range(LISTED):
            client.post("/agents", json={"name": f"Bot {number}", "config": SMALL_CONFIG})
        ids = [each["id"] for each in client.get("/agents", params={"limit": LISTED}).raise_for_status().json()]
    if len(ids) != LISTED:
        raise Wrong(f"{len(ids)} agents are listed")
    return maim, {"Authorization": f"Bearer {token}"}, ids


def reading(bench: Bench, maim: Maim, headers: dict[str, str], *paths: str) -> Load:
    """Return a load of GET requests of these paths of v1."""
    requests = (Request("GET", f"/api/v1{path}", headers=headers) for path in paths)
    return bench.load(requests, base=maim.public)
