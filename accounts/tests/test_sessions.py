"""POST /auth/refresh, /auth/logout, /auth/password: the life of a session (docs/contract.md section 7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
from time_machine import travel

from accounts.models import TokenSession, User
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.people import PASSWORD, Person, with_claims

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
LATER = timedelta(minutes=1)  # longer than two windows of one browser need to refresh together


def post(path: str, body: Any, token: str | None = None) -> Any:
    return SurfaceClient(token=token).send("POST", f"/api/v1/auth/{path}", body)


def sign_in(username: str = "alice", password: str = PASSWORD) -> dict[str, Any]:
    response = post("login", {"username": username, "password": password})
    assert response.status_code == 200, response.content
    tokens: dict[str, Any] = response.json()
    return tokens


def is_signed_in(tokens: dict[str, Any]) -> bool:
    response = SurfaceClient(token=tokens["access_token"]).get("/api/v1/auth/me")
    assert response.status_code in (200, 401)
    return bool(response.status_code == 200)


def refresh(tokens: dict[str, Any]) -> Any:
    return post("refresh", {"refresh_token": tokens["refresh_token"]})


def refused(response: Any) -> bool:
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert set(response.json()) == {"detail", "code"}
    return bool(response.json()["code"] == "AUTHENTICATION_REQUIRED")


def a_second_ago() -> int:
    return int((timezone.now() - timedelta(seconds=1)).timestamp())


@pytest.fixture
def tokens(alice: Person) -> dict[str, Any]:
    """The tokens of Alice, who signed in over HTTP."""
    return sign_in()


class TestRefresh:
    def test_response_is_like_that_of_login(self, tokens: dict[str, Any]) -> None:
        response = refresh(tokens)

        assert response.status_code == 200
        fresh = response.json()
        assert list(fresh) == list(tokens) == ["access_token", "token_type", "refresh_token", "expires_in"]
        assert fresh["refresh_token"] != tokens["refresh_token"]
        assert is_signed_in(fresh)
        assert response["Cache-Control"] == "no-store"

    def test_newest_token_can_be_refreshed_again(self, tokens: dict[str, Any]) -> None:
        second = refresh(tokens).json()
        third = refresh(second).json()

        assert is_signed_in(third)

    def test_used_token_that_comes_back_at_once_gets_the_successor(self, tokens: dict[str, Any]) -> None:
        """Two windows of one browser may refresh together: each can go on, with what the other got."""
        fresh = refresh(tokens).json()
        again = refresh(tokens)

        assert again.status_code == 200
        assert is_signed_in(fresh)
        assert is_signed_in(again.json())
        assert refresh(again.json()).status_code == 200
        assert refresh(fresh).status_code == 200, "it is the same token"

    def test_token_of_before_the_last_refresh_gets_nothing(self, tokens: dict[str, Any]) -> None:
        latest = refresh(refresh(tokens).json()).json()

        assert refused(refresh(tokens))
        assert is_signed_in(latest)

    def test_signed_out_session_has_no_successor(self, tokens: dict[str, Any]) -> None:
        fresh = refresh(tokens).json()
        post("logout", {"refresh_token": fresh["refresh_token"]})

        assert refused(refresh(tokens))

    def test_used_token_that_comes_back_later_ends_the_session(self, tokens: dict[str, Any]) -> None:
        fresh = refresh(tokens).json()

        with travel(timezone.now() + LATER, tick=False):
            assert refused(refresh(tokens))

        assert not is_signed_in(tokens)
        assert not is_signed_in(fresh)
        assert refused(refresh(fresh))

    def test_step_back_of_the_clock_makes_no_race(self, tokens: dict[str, Any]) -> None:
        fresh = refresh(tokens).json()
        TokenSession.objects.update(refreshed_at=timezone.now() + timedelta(hours=1))

        assert refused(refresh(tokens))
        assert not is_signed_in(fresh)

    def test_used_token_ends_only_its_own_session(self, tokens: dict[str, Any]) -> None:
        elsewhere = sign_in()
        refresh(tokens)

        with travel(timezone.now() + LATER, tick=False):
            assert refused(refresh(tokens))

        assert is_signed_in(elsewhere)

    def test_inactive_user_gets_no_tokens(self, tokens: dict[str, Any], alice: Person) -> None:
        User.objects.filter(pk=alice.user.pk).update(is_active=False)

        assert refused(refresh(tokens))

    def test_access_token_cannot_be_refreshed(self, tokens: dict[str, Any]) -> None:
        assert refused(post("refresh", {"refresh_token": tokens["access_token"]}))
        assert is_signed_in(tokens)

    def test_refresh_token_does_not_authenticate(self, tokens: dict[str, Any]) -> None:
        assert refused(SurfaceClient(token=tokens["refresh_token"]).get("/api/v1/auth/me"))

    @pytest.mark.parametrize("token", ["garbage", "a.b.c", "小明", "x" * 4096])
    def test_invalid_token_is_401(self, alice: Person, token: str) -> None:
        assert refused(post("refresh", {"refresh_token": token}))

    @pytest.mark.parametrize("body", [{}, {"refresh_token": None}, {"refresh_token": 5}, {"refresh_token": ""}])
    def test_missing_token_is_400(self, alice: Person, body: Any) -> None:
        response = post("refresh", body)

        assert response.status_code == 400
        assert list(response.json()["errors"]) == ["refresh_token"]

    def test_expired_token_is_401(self, tokens: dict[str, Any]) -> None:
        expired = with_claims(tokens["refresh_token"], exp=a_second_ago())

        assert refused(post("refresh", {"refresh_token": expired}))


class TestLogout:
    def test_both_tokens_end(self, tokens: dict[str, Any]) -> None:
        response = post("logout", {"refresh_token": tokens["refresh_token"]})

        assert response.status_code == 204
        assert response.content == b""
        assert not is_signed_in(tokens)
        assert refused(refresh(tokens))

    def test_other_sessions_continue(self, tokens: dict[str, Any]) -> None:
        elsewhere = sign_in()

        post("logout", {"refresh_token": tokens["refresh_token"]})

        assert is_signed_in(elsewhere)

    def test_second_sign_out_is_401(self, tokens: dict[str, Any]) -> None:
        post("logout", {"refresh_token": tokens["refresh_token"]})

        assert refused(post("logout", {"refresh_token": tokens["refresh_token"]}))

    @pytest.mark.parametrize("token", ["garbage", "a.b.c"])
    def test_invalid_token_is_401(self, alice: Person, token: str) -> None:
        assert refused(post("logout", {"refresh_token": token}))

    def test_access_token_is_401(self, tokens: dict[str, Any]) -> None:
        assert refused(post("logout", {"refresh_token": tokens["access_token"]}))
        assert is_signed_in(tokens)


class TestPassword:
    def change(self, tokens: dict[str, Any], old: Any = PASSWORD, new: Any = "another password") -> Any:
        return post("password", {"old_password": old, "new_password": new}, tokens["access_token"])

    def test_new_password_replaces_the_old_one(self, tokens: dict[str, Any]) -> None:
        response = self.change(tokens)

        assert response.status_code == 204
        assert response.content == b""
        assert post("login", {"username": "alice", "password": PASSWORD}).status_code == 400
        assert is_signed_in(sign_in(password="another password"))

    def test_every_session_but_the_callers_ends(self, tokens: dict[str, Any], charlie: Person) -> None:
        elsewhere = sign_in()

        self.change(tokens)

        assert not is_signed_in(elsewhere)
        assert refused(refresh(elsewhere))
        assert is_signed_in(tokens)
        assert refresh(tokens).status_code == 200
        assert is_signed_in({"access_token": charlie.token}), "nobody else is signed out"

    @pytest.mark.parametrize(
        ("old", "new", "field"),
        [
            ("wrong password", "another password", "old_password"),
            (PASSWORD, "short", "new_password"),
            (PASSWORD, "x" * 1025, "new_password"),
            (PASSWORD, None, "new_password"),
            (None, "another password", "old_password"),
            (12345678, "another password", "old_password"),
        ],
    )
    def test_refused_change_is_400_and_changes_nothing(
        self, tokens: dict[str, Any], old: Any, new: Any, field: str
    ) -> None:
        elsewhere = sign_in()

        response = self.change(tokens, old, new)

        assert response.status_code == 400
        assert list(response.json()["errors"]) == [field]
        assert is_signed_in(elsewhere)
        assert is_signed_in(sign_in())

    def test_password_must_not_be_the_username(self, charlie: Person) -> None:
        User.objects.filter(pk=charlie.user.pk).update(username="charlie the 1st", username_folded="charlie the 1st")
        tokens = sign_in("charlie the 1st")

        response = self.change(tokens, new="CHARLIE the 1st")

        assert list(response.json()["errors"]) == ["new_password"]

    def test_change_without_a_token_is_401(self, alice: Person) -> None:
        assert refused(post("password", {"old_password": PASSWORD, "new_password": "another password"}))

    def test_audit_entry_has_no_password(self, tokens: dict[str, Any], alice: Person) -> None:
        self.change(tokens)

        entry = AuditEntry.objects.get(action="user.password")
        assert (entry.actor_id, entry.object_id) == (alice.user.id, alice.user.id)
        assert entry.before is None
        assert entry.after is None


@pytest.mark.parametrize(("seconds", "is_valid"), [(2, True), (59, True), (120, False)])
def test_token_of_a_machine_whose_clock_is_ahead_is_valid_for_a_minute(
    alice: Person, seconds: int, is_valid: bool
) -> None:
    with travel(timezone.now() + timedelta(seconds=seconds), tick=False):
        tokens = sign_in()

    assert is_signed_in(tokens) == is_valid
    assert (refresh(tokens).status_code == 200) == is_valid


def test_expired_access_token_is_401(alice: Person) -> None:
    expired = with_claims(alice.token, exp=a_second_ago())

    assert refused(SurfaceClient(token=expired).get("/api/v1/auth/me"))


def test_access_token_that_was_accepted_expires(alice: Person) -> None:
    tokens = sign_in()
    assert is_signed_in(tokens)

    with travel(timezone.now() + settings.ACCESS_TOKEN_LIFETIME + timedelta(seconds=1), tick=False):
        assert not is_signed_in(tokens)


def test_other_signature_under_the_claims_of_an_accepted_token_is_401(alice: Person) -> None:
    token = sign_in()["access_token"]
    assert is_signed_in({"access_token": token})
    claims, _, signature = token.rpartition(".")

    assert refused(SurfaceClient(token=f"{claims}.{signature[::-1]}").get("/api/v1/auth/me"))


def test_same_token_that_is_not_expired_is_valid(alice: Person) -> None:
    """The token of `test_expired_access_token_is_401` is refused only because it is expired."""
    again = with_claims(alice.token, exp=a_second_ago() + 3600)

    assert is_signed_in({"access_token": again})


def test_sweep_deletes_expired_sessions(alice: Person, charlie: Person) -> None:
    alices = TokenSession.objects.get(user=alice.user)
    TokenSession.objects.filter(user=charlie.user).update(expires_at=alices.expires_at + timedelta(days=1))

    with travel(alices.expires_at + timedelta(seconds=1), tick=False):
        call_command("sweep")

    assert list(TokenSession.objects.values_list("user_id", flat=True)) == [charlie.user.id]
