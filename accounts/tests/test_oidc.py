"""Sign-in by OpenID Connect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from accounts.models import Identity, LinkChallenge, OidcFlow, TokenSession, User
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.oidc import REDIRECT_URI, Provider, provider_at_work
from tests.support.people import PASSWORD, Person

EMAIL = {"email": "alice@example.com", "email_verified": True}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provider_at_work() as provider:
        yield provider


def post(path: str, body: Any, token: str | None = None) -> Any:
    return SurfaceClient(token=token).send("POST", f"/api/v1/auth/{path}", body)


def start(token: str | None = None, **fields: str) -> dict[str, str]:
    response = post("oidc/acme/start", {"redirect_uri": REDIRECT_URI, **fields}, token)
    assert response.status_code == 200, response.content
    started: dict[str, str] = response.json()
    return started


def finish(flow: str, back: dict[str, str], token: str | None = None) -> Any:
    return post("oidc/acme/finish", {"flow": flow, **back}, token)


def sign_in(provider: Provider, **claims: Any) -> Any:
    """Sign in at the provider, and by it here."""
    started = start()
    return finish(started["flow"], provider.sign_in(started["authorization_url"], **claims))


def me(response: Any) -> dict[str, Any]:
    """Return the profile of whoever signed in."""
    assert response.status_code == 200, response.content
    profile: dict[str, Any] = SurfaceClient(token=response.json()["access_token"]).get("/api/v1/auth/me").json()
    return profile


class TestRegistration:
    def test_new_identity_gets_a_user_with_a_personal_tenant(self, db: None, provider: Provider) -> None:
        profile = me(sign_in(provider, preferred_username="alice", **EMAIL))

        assert (profile["username"], profile["email"], profile["email_verified"]) == (
            "alice",
            "alice@example.com",
            True,
        )
        assert [each["role"] for each in profile["memberships"]] == ["owner"]
