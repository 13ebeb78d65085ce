"""Many sign-ins at once, which are throttled and do not block other requests."""

from __future__ import annotations

import os
import secrets
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher

from accounts import hashers
from accounts.hashers import BoundedArgon2PasswordHasher
from core.errors import Unavailable
from tests.support.instances import WAIT, wait_until
from tests.support.server import SETTINGS, MaimServer

pytestmark = pytest.mark.heavy

PASSWORD = "password123"
LOGINS = 30
HAS_REDIS = bool(os.environ.get("REDIS_URL"))


def login(client: httpx.Client, username: str, password: str = PASSWORD, address: str = "") -> httpx.Response:
    return client.post(
        "/api/v1/auth/login",
        json={"username": username, "password": password},
        headers={"X-Forwarded-For": address} if address else {},
    )


class TestReadsBesideLogins:
    @pytest.fixture
    def client(self, tmp_path: Path) -> Iterator[httpx.Client]:
        """A client of Alice on a server without a throttle."""
        with MaimServer(tmp_path, "maim_load", DJANGO_SETTINGS_MODULE=SETTINGS) as maim, maim.client() as client:
            client.post("/api/v1/auth/register", json={"username": "alice", "password": PASSWORD})
            client.headers["Authorization"] = f"Bearer {login(client, 'alice').json()['access_token']}"
            yield client

    def test_reads_are_served_while_logins_wait(self, client: httpx.Client) -> None:
        with ThreadPoolExecutor(LOGINS) as pool:
            logins = [pool.submit(login, client, "alice") for _ in range(LOGINS)]
            reads_beside = 0
            while not all_done(logins):
                assert client.get("/health").status_code == 200
                assert client.get("/api/v1/agents").status_code == 200
                reads_beside += 0 if all_done(logins) else 2

        # Two hashes at a time leave room for many more reads than this.
        assert reads_beside >= LOGINS
        responses = [response.result() for response in logins]
        statuses = Counter(response.status_code for response in responses)
        assert set(statuses) <= {200, 503}
        assert statuses[200] >= hashers.ADMITTED
        for rejected in (response for response in responses if response.status_code == 503):
            assert int(rejected.headers["Retry-After"]) > 0
            assert rejected.json()["code"] == "SYS_002"
        assert login(client, "alice").status_code == 200


def all_done(futures: list[Future[httpx.Response]]) -> bool:
    return all(future.done() for future in futures)


class WaitingHasher(Argon2PasswordHasher):
    """A hasher that waits for the test, and counts running hashes."""

    memory_cost = 1024  # the cost of the hash does not matter here

    def __init__(self) -> None:
        self.running = self.most = 0
        self.lock = threading.Lock()
        self.may_finish = threading.Event()

    def encode(self, password: str, salt: str) -> str:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.may_finish.wait(WAIT)
        try:
            return super().encode(password, salt)
        finally:
            with self.lock:
                self.running -= 1


class Hasher(BoundedArgon2PasswordHasher, WaitingHasher):
    """Our bounded hasher over the waiting one."""


class TestHasher:
    def test_two_hashes_run_some_wait_and_others_are_refused(self) -> None:
        hasher = Hasher()
        with ThreadPoolExecutor(hashers.ADMITTED + 1) as pool:
            hashes = [pool.submit(hasher.encode, PASSWORD, "saltsalt") for _ in range(hashers.ADMITTED + 1)]
            # No hash can end yet, so the first result is a rejection, because all places are taken.
            (rejected,) = wait(hashes, return_when="FIRST_COMPLETED").done
            wait_until(lambda: hasher.running == hashers.AT_ONCE, "the threads that hash have begun")
            hasher.may_finish.set()

        assert isinstance(rejected.exception(), Unavailable)
        assert hasher.most == hashers.AT_ONCE == 2
        encoded = [future.result() for future in hashes if future is not rejected]
        assert len(encoded) == hashers.ADMITTED
        assert hasher.verify(PASSWORD, encoded[0])
        assert not hasher.verify("password124", encoded[0])

    def test_failed_hash_gives_its_slot_back(self) -> None:
        hasher = Hasher()
        hasher.may_finish.set()

        for _ in range(hashers.ADMITTED + 1):
            with pytest.raises(AttributeError):
                hasher.encode(None, "saltsalt")  # type: ignore[arg-type]  # which fails

        assert hasher.encode(PASSWORD, "saltsalt")

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
    def test_threads_that_hash_leave_the_cores_to_others(self) -> None:
        def started_thread() -> list[int]:
            """Return what threads have that Argon2 starts in a thread that hashes."""
            found: list[int] = []
            thread = threading.Thread(target=lambda: found.append(niceness()))
            thread.start()
            thread.join()
            return found

        before = niceness()

        assert hashers.run_hash(niceness) == min(before + hashers.NICENESS, 19)
        assert hashers.run_hash(started_thread) == [min(before + hashers.NICENESS, 19)]
        assert niceness() == before


def niceness() -> int:
    """Return the niceness of the thread that asks."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.fixture(scope="module")
def throttled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server of one worker, or two with Redis, behind a trusted proxy that sends addresses."""
    directory = tmp_path_factory.mktemp("throttle")
    with (
        MaimServer(
            directory,
            "maim_throttle",
            MAIM_AUTH_RATE="3,8",
            MAIM_TRUSTED_PROXIES="127.0.0.1/32",
            MAIM_WORKERS="2" if HAS_REDIS else "1",
        ) as maim,
        maim.client() as client,
    ):
        yield client


class TestThrottle:
    """The rate limit MAIM_AUTH_RATE. Each test has its own accounts and addresses, because all share one Redis."""

    @pytest.fixture
    def address(self) -> str:
        return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"

    @pytest.fixture
    def account(self) -> str:
        return f"alice{secrets.token_hex(4)}"

    def test_fourth_attempt_on_an_account_is_429(self, throttled: httpx.Client, account: str, address: str) -> None:
        throttled.post(
            "/api/v1/auth/register",
            json={"username": account, "password": PASSWORD},
            headers={"X-Forwarded-For": address},
        )
        attempts = [
            login(throttled, account, wrong_password, address) for wrong_password in ("password124", "password125")
        ]

        rejected = login(throttled, account, PASSWORD, address)

        assert [response.status_code for response in attempts] == [400, 400]
        assert rejected.status_code == 429
        assert 0 < int(rejected.headers["Retry-After"]) <= 60
        assert rejected.json().keys() == {"detail", "code"}
        assert rejected.json()["code"] == "RATE_LIMITED"
        # In any spelling of the name, but neither for other addresses nor for other accounts.
        assert login(throttled, account.upper(), PASSWORD, address).status_code == 429
        assert login(throttled, account, PASSWORD, f"198.51.100.{secrets.randbelow(256)}").status_code == 200
        assert login(throttled, f"{account}2", PASSWORD, address).status_code == 400

    def test_concurrent_attempts_are_counted_together(self, throttled: httpx.Client, account: str) -> None:
        with ThreadPoolExecutor(20) as pool:
            addresses = [f"2001:db8:1:{secrets.token_hex(2)}::1" for _ in range(20)]
            responses = list(pool.map(lambda address: login(throttled, account, address=address), addresses))

        assert Counter(response.status_code for response in responses) == {400: 9, 429: 11}

    def test_registrations_are_counted_by_address(self, throttled: httpx.Client, account: str, address: str) -> None:
        def register(number: int, address: str) -> int:
            # The weak password is refused before it is hashed, and the attempt is counted.
            body = {"username": f"{account}-{number}", "password": "short"}
            return throttled.post("/api/v1/auth/register", json=body, headers={"X-Forwarded-For": address}).status_code

        assert [register(number, address) for number in range(9)] == [400] * 8 + [429]
        assert login(throttled, account, address=address).status_code == 429
        assert register(9, f"{address}1") == 429, "an address of the same network"
        assert register(9, address.replace("db8", "db9")) == 400
