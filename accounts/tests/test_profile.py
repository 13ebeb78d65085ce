"""PATCH /auth/me does not tell who has an e-mail address more often than a sign-in may be tried."""

from __future__ import annotations

from typing import Any

import pytest

from accounts import throttle
from core.setting_types import AuthRate
from tests.support.people import Person

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _throttled(settings: Any) -> None:
    settings.REDIS_URL, settings.AUTH_RATE = None, AuthRate(per_account=3, per_address=60)
    throttle._memory_limiter().storage.reset()


def change_email(person: Person, email: str | None) -> int:
    status: int = person.client.send("PATCH", "/api/v1/auth/me", {"email": email}).status_code
    return status


def test_probes_of_email_addresses_are_throttled(alice: Person, charlie: Person) -> None:
    assert change_email(charlie, "charlie@example.com") == 200

    probes = [change_email(alice, f"{name}@example.com") for name in ("bob", "charlie", "dora", "charlie", "eve")]

    assert probes == [200, 400, 200, 429, 429]


def test_unchanged_or_removed_address_is_no_attempt(alice: Person) -> None:
    assert change_email(alice, "alice@example.com") == 200

    assert [change_email(alice, email) for email in ("alice@example.com",) * 5] == [200] * 5
    assert [change_email(alice, None), change_email(alice, "")] == [200, 200]


def test_probes_do_not_keep_anybody_from_signing_in(alice: Person) -> None:
    for number in range(5):
        change_email(alice, f"{number}@example.com")

    body = {"username": "alice", "password": "password123"}
    assert alice.client.send("POST", "/api/v1/auth/login", body).status_code == 200
