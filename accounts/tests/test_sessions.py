"""POST /auth/refresh, /auth/logout, /auth/password: how long a sign-in lasts (docs/contract.md section 7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken
from time_machine import travel

from accounts.models import TokenSession, User
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.people import PASSWORD, Person

pytestmark = pytest.mark.django_db
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


@pytest.fixture
def tokens(alice: Person) -> dict[str, Any]:
    """Alice, signed in on the wire."""
    return sign_in()


class TestRefresh:
    def test_answers_as_login_does(self, tokens: dict[str, Any]) -> None:
        response = refresh(tokens)

        assert response.status_code == 200
        fresh = response.json()
        assert list(fresh) == list(tokens) == ["access_token", "token_type", "refresh_token", "expires_in"]
        assert fresh["refresh_token"] != tokens["refresh_token"]
        assert is_signed_in(fresh)
        assert response["Cache-Control"] == "no-store"

    def test_can_be_repeated_with_the_newest_token(self, tokens: dict[str, Any]) -> None:
        second = refresh(tokens).json()
        third = refresh(second).json()

        assert is_signed_in(third)

    def test_spends_the_old_refresh_token(self, tokens: dict[str, Any]) -> None:
        assert refresh(tokens).status_code == 200

        assert refused(refresh(tokens))

    def test_a_spent_token_that_comes_back_at_once_ends_nothing(self, tokens: dict[str, Any]) -> None:
        """Two windows of one browser refreshed together."""
        fresh = refresh(tokens).json()
        assert refused(refresh(tokens))

        assert is_signed_in(fresh)
        assert refresh(fresh).status_code == 200

    def test_a_spent_token_that_comes_back_later_ends_the_session(self, tokens: dict[str, Any]) -> None:
        fresh = refresh(tokens).json()

        with travel(timezone.now() + LATER, tick=False):
            assert refused(refresh(tokens))

        assert not is_signed_in(tokens)
        assert not is_signed_in(fresh)
        assert refused(refresh(fresh))

    def test_ends_no_session_but_its_own(self, tokens: dict[str, Any]) -> None:
        elsewhere = sign_in()
        refresh(tokens)

        with travel(timezone.now() + LATER, tick=False):
            assert refused(refresh(tokens))

        assert is_signed_in(elsewhere)

    def test_an_inactive_user_gets_no_tokens(self, tokens: dict[str, Any], alice: Person) -> None:
        User.objects.filter(pk=alice.user.pk).update(is_active=False)

        assert refused(refresh(tokens))

    def test_an_access_token_is_no_refresh_token(self, tokens: dict[str, Any]) -> None:
        assert refused(post("refresh", {"refresh_token": tokens["access_token"]}))
        assert is_signed_in(tokens)

    def test_a_refresh_token_is_no_access_token(self, tokens: dict[str, Any]) -> None:
        assert refused(SurfaceClient(token=tokens["refresh_token"]).get("/api/v1/auth/me"))

    @pytest.mark.parametrize("token", ["garbage", "a.b.c", "小明", "x" * 4096])
    def test_garbage_is_401(self, alice: Person, token: str) -> None:
        assert refused(post("refresh", {"refresh_token": token}))

    @pytest.mark.parametrize("body", [{}, {"refresh_token": None}, {"refresh_token": 5}, {"refresh_token": ""}])
    def test_no_token_is_400(self, alice: Person, body: Any) -> None:
        response = post("refresh", body)

        assert response.status_code == 400
        assert list(response.json()["errors"]) == ["refresh_token"]

    def test_an_expired_token_is_401(self, tokens: dict[str, Any]) -> None:
        expired = RefreshToken(tokens["refresh_token"])
        expired.set_exp(lifetime=-timedelta(seconds=1))

        assert refused(post("refresh", {"refresh_token": str(expired)}))


class TestLogout:
    def test_ends_the_refresh_token_and_the_access_token(self, tokens: dict[str, Any]) -> None:
        response = post("logout", {"refresh_token": tokens["refresh_token"]})

        assert response.status_code == 204
        assert response.content == b""
        assert not is_signed_in(tokens)
        assert refused(refresh(tokens))

    def test_ends_no_other_session(self, tokens: dict[str, Any]) -> None:
        elsewhere = sign_in()

        post("logout", {"refresh_token": tokens["refresh_token"]})

        assert is_signed_in(elsewhere)

    def test_works_once(self, tokens: dict[str, Any]) -> None:
        post("logout", {"refresh_token": tokens["refresh_token"]})

        assert refused(post("logout", {"refresh_token": tokens["refresh_token"]}))

    @pytest.mark.parametrize("token", ["garbage", "a.b.c"])
    def test_garbage_is_401(self, alice: Person, token: str) -> None:
        assert refused(post("logout", {"refresh_token": token}))

    def test_an_access_token_is_401(self, tokens: dict[str, Any]) -> None:
        assert refused(post("logout", {"refresh_token": tokens["access_token"]}))
        assert is_signed_in(tokens)


class TestPassword:
    def change(self, tokens: dict[str, Any], old: Any = PASSWORD, new: Any = "another password") -> Any:
        return post("password", {"old_password": old, "new_password": new}, tokens["access_token"])

    def test_a_changed_password_is_the_one_that_counts(self, tokens: dict[str, Any]) -> None:
        response = self.change(tokens)

        assert response.status_code == 204
        assert response.content == b""
        assert post("login", {"username": "alice", "password": PASSWORD}).status_code == 400
        assert is_signed_in(sign_in(password="another password"))

    def test_it_ends_every_other_session_but_not_the_callers(self, tokens: dict[str, Any], charlie: Person) -> None:
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
    def test_a_refused_change_is_400_and_changes_nothing(
        self, tokens: dict[str, Any], old: Any, new: Any, field: str
    ) -> None:
        elsewhere = sign_in()

        response = self.change(tokens, old, new)

        assert response.status_code == 400
        assert list(response.json()["errors"]) == [field]
        assert is_signed_in(elsewhere)
        assert is_signed_in(sign_in())

    def test_the_password_must_not_be_the_username(self, charlie: Person) -> None:
        User.objects.filter(pk=charlie.user.pk).update(username="charlie the 1st", username_folded="charlie the 1st")
        tokens = sign_in("charlie the 1st")

        response = self.change(tokens, new="CHARLIE the 1st")

        assert list(response.json()["errors"]) == ["new_password"]

    def test_it_needs_a_token(self, alice: Person) -> None:
        assert refused(post("password", {"old_password": PASSWORD, "new_password": "another password"}))

    def test_the_audit_log_knows_that_it_changed_and_not_to_what(self, tokens: dict[str, Any], alice: Person) -> None:
        self.change(tokens)

        entry = AuditEntry.objects.get(action="user.password")
        assert (entry.actor_id, entry.object_id) == (alice.user.id, alice.user.id)
        assert entry.before is None
        assert entry.after is None


def test_an_expired_access_token_is_401(alice: Person) -> None:
    expired = AccessToken(alice.token)  # type: ignore[arg-type]  # the stubs want a Token where text is taken
    expired.set_exp(lifetime=-timedelta(seconds=1))

    assert refused(SurfaceClient(token=str(expired)).get("/api/v1/auth/me"))


def test_the_same_token_made_again_is_good(alice: Person) -> None:
    """What the test above makes is refused for its time and for nothing else."""
    again = AccessToken(alice.token)  # type: ignore[arg-type]  # as above
    again.set_exp(lifetime=timedelta(hours=1))

    assert is_signed_in({"access_token": str(again)})


def test_the_sweep_deletes_sessions_that_nobody_can_refresh(alice: Person, charlie: Person) -> None:
    alices = TokenSession.objects.get(user=alice.user)
    TokenSession.objects.filter(user=charlie.user).update(expires_at=alices.expires_at + timedelta(days=1))

    with travel(alices.expires_at + timedelta(seconds=1), tick=False):
        call_command("sweep")

    assert list(TokenSession.objects.values_list("user_id", flat=True)) == [charlie.user.id]
