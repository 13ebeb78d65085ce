"""Requests to sign in by OpenID Connect."""

from __future__ import annotations

from typing import Any

from tests.support.client import SurfaceClient
from tests.support.oidc import REDIRECT_URI, Provider


def post(path: str, body: Any, token: str | None = None) -> Any:
    return SurfaceClient(token=token).send("POST", f"/api/v1/auth/{path}", body)


def try_to_start(token: str | None = None, **fields: str) -> Any:
    """Begin to sign in, or with a token, to add an identity."""
    return post(f"{'identities' if token else 'oidc'}/acme/start", {"redirect_uri": REDIRECT_URI, **fields}, token)


def start(token: str | None = None, **fields: str) -> dict[str, str]:
    response = try_to_start(token, **fields)
    assert response.status_code == 200, response.content
    started: dict[str, str] = response.json()
    return started


def finish(flow: str, back: dict[str, str], token: str | None = None) -> Any:
    return post(f"{'identities' if token else 'oidc'}/acme/finish", {"flow": flow, **back}, token)


def sign_in(provider: Provider, **claims: Any) -> Any:
    """Sign in at the provider, and by it here."""
    started = start()
    return finish(started["flow"], provider.sign_in(started["authorization_url"], **claims))


def me(response: Any) -> dict[str, Any]:
    """Return the profile of whoever signed in."""
    assert response.status_code == 200, response.content
    profile: dict[str, Any] = SurfaceClient(token=response.json()["access_token"]).get("/api/v1/auth/me").json()
    return profile
