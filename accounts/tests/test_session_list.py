"""GET and DELETE /auth/sessions: the sessions of a person, and how they end (docs/contract.md section 7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from time_machine import travel

from accounts.models import TokenSession
from accounts.services.sessions import SEEN_EVERY
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.people import PASSWORD, Person

pytestmark = pytest.mark.django_db
SESSIONS = "/api/v1/auth/sessions"


def sign_in(device: str = "Firefox", address: str = "203.0.113.7") -> SurfaceClient:
    response = SurfaceClient().send(
        "POST",
        "/api/v1/auth/login",
        {"username": "alice", "password": PASSWORD},
        HTTP_USER_AGENT=device,
        REMOTE_ADDR=address,
    )
    assert response.status_code == 200, response.content
    return SurfaceClient(token=response.json()["access_token"])


def sessions(client: SurfaceClient, query: str = "") -> list[dict[str, Any]]:
    response = client.get(SESSIONS + query)
    assert response.status_code == 200, response.content
    listed: list[dict[str, Any]] = response.json()
    return listed


def is_signed_in(client: SurfaceClient) -> bool:
    return bool(client.get("/api/v1/auth/me").status_code == 200)


class TestList:
    def test_session_tells_its_device_and_address(self, alice: Person) -> None:
        client = sign_in("Mozilla/5.0 (X11; Linux x86_64)", "203.0.113.7")

        latest = sessions(client)[0]

        assert latest["device"] == "Mozilla/5.0 (X11; Linux x86_64)"
        assert latest["address"] == "203.0.113.7"
        assert latest["is_current"] is True
        assert set(latest) == {"id", "device", "address", "created_at", "last_seen_at", "is_current"}

    def test_latest_sign_in_is_first_and_only_the_own_session_is_current(self, alice: Person) -> None:
        phone, laptop = sign_in("phone"), sign_in("laptop")

        assert [(row["device"], row["is_current"]) for row in sessions(phone)[:2]] == [
            ("laptop", False),
            ("phone", True),
        ]
        assert [row["is_current"] for row in sessions(laptop)[:2]] == [True, False]

    def test_others_sessions_are_not_listed(self, alice: Person, charlie: Person) -> None:
        sign_in()

        assert len(sessions(charlie.client)) == 1

    def test_list_comes_in_parts(self, alice: Person) -> None:
        client = sign_in("second")
        sign_in("third")

        assert [row["device"] for row in sessions(client, "?skip=1&limit=1")] == ["second"]
        assert len(sessions(client, "?after=&limit=2")) == 2

    @pytest.mark.parametrize("device", ["", "x" * 5000, "火狐 \x01\x7f", "<script>"])
    def test_odd_device_is_stored_within_bounds(self, alice: Person, device: str) -> None:
        client = sign_in(device)

        assert sessions(client)[0]["device"] == device[:300]

    def test_session_of_a_version_before_is_listed(self, alice: Person) -> None:
        TokenSession.objects.update(device="", address="", last_seen_at=None)

        assert [row["device"] for row in sessions(alice.client)] == [""]

    def test_sessions_of_a_version_before_are_seen_by_their_next_request(self, alice: Person) -> None:
        TokenSession.objects.update(last_seen_at=None)

        assert sessions(alice.client)[0]["last_seen_at"] is not None


@pytest.mark.embedded
class TestLastSeen:
    def test_it_follows_requests_and_their_address(self, alice: Person) -> None:
        client = sign_in(address="203.0.113.7")
        before = TokenSession.objects.latest("created_at").last_seen_at
        assert before is not None

        with travel(later := timezone.now() + SEEN_EVERY, tick=False):
            client.get("/api/v1/auth/me", REMOTE_ADDR="198.51.100.2")

        session = TokenSession.objects.latest("created_at")
        assert (session.last_seen_at, session.address) == (later, "198.51.100.2")

    def test_requests_soon_after_write_nothing(self, alice: Person) -> None:
        client = sign_in()
        client.get("/api/v1/auth/me")

        with CaptureQueriesContext(
            connection,
        ) as statements:
            client.get("/api/v1/auth/me", REMOTE_ADDR="198.51.100.2")

        assert not [statement for statement in statements if statement["sql"].startswith("UPDATE")]

    def test_time_of_a_clock_that_was_ahead_is_corrected(self, alice: Person) -> None:
        TokenSession.objects.update(last_seen_at=timezone.now() + timedelta(days=400))

        alice.client.get("/api/v1/auth/me")

        seen = TokenSession.objects.get().last_seen_at
        assert seen is not None
        assert seen < timezone.now() + SEEN_EVERY

    def test_refused_request_is_not_recorded(self, alice: Person) -> None:
        TokenSession.objects.update(last_seen_at=None)
        type(alice.user).objects.update(is_active=False)

        assert not is_signed_in(alice.client)
        assert TokenSession.objects.get().last_seen_at is None


@pytest.mark.embedded
class TestEnd:
    def test_ended_session_is_over_at_once(self, alice: Person) -> None:
        lost, kept = sign_in("lost phone"), sign_in("laptop")
        (lost_id,) = [row["id"] for row in sessions(kept) if row["device"] == "lost phone"]

        response = kept.send("DELETE", f"{SESSIONS}/{lost_id}")

        assert (response.status_code, response.content) == (204, b"")
        assert not is_signed_in(lost)
        assert is_signed_in(kept)

    def test_current_session_may_be_ended(self, alice: Person) -> None:
        client = sign_in()

        assert client.send("DELETE", f"{SESSIONS}/{sessions(client)[0]['id']}").status_code == 204
        assert not is_signed_in(client)

    def test_end_is_audited(self, alice: Person) -> None:
        client = sign_in()
        ended = sessions(client)[1]["id"]

        client.send("DELETE", f"{SESSIONS}/{ended}")

        entry = AuditEntry.objects.get(action="session.delete")
        assert (entry.actor_id, entry.object_id, entry.before) == (alice.user.id, ended, {"user": alice.user.id})

    @pytest.mark.parametrize("session_id", ["session_000000000000", "nothing", "' OR 1=1", "会话"])
    def test_missing_session_is_404(self, alice: Person, session_id: str) -> None:
        assert alice.client.send("DELETE", f"{SESSIONS}/{session_id}").status_code == 404

    def test_anothers_session_is_404_and_goes_on(self, alice: Person, charlie: Person) -> None:
        response = charlie.client.send("DELETE", f"{SESSIONS}/{sessions(alice.client)[0]['id']}")

        assert response.status_code == 404
        assert is_signed_in(alice.client)

    def test_all_others_end_and_those_of_other_people_go_on(self, alice: Person, charlie: Person) -> None:
        others, current = [sign_in(), sign_in(), alice.client], sign_in()

        response = current.send("DELETE", SESSIONS)

        assert response.status_code == 204
        assert [is_signed_in(other) for other in others] == [False] * 3
        assert is_signed_in(current)
        assert is_signed_in(charlie.client)
        assert AuditEntry.objects.filter(action="session.delete").count() == 3
