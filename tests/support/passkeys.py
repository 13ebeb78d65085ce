"""Passkeys of the tests' people."""

from __future__ import annotations

from typing import Any

from accounts import services
from accounts.models import User
from core.actor import Actor, ActorKind
from tests.support.client import SurfaceClient
from tests.support.people import PASSWORD
from tests.support.security_keys import SecurityKey

PASSKEYS = "/api/v1/auth/factors/passkeys"


def add_passkey(user: User, key: SecurityKey | None = None) -> SecurityKey:
    """Give a user a passkey, and return the key that has it."""
    key = key or SecurityKey()
    actor = Actor(kind=ActorKind.USER, id=user.pk, label=user.username)
    begun = services.begin_passkey(actor=actor, user=user, password=PASSWORD)
    credential = key.create(begun.options)
    services.add_passkey(actor=actor, user=user, challenge=begun.challenge, credential=credential, name="key")
    return key


def answer_with(key: SecurityKey, asked: Any, **changed: Any) -> Any:
    """Send the second step of a sign-in, of which `asked` is the first response."""
    body = {"challenge": asked["challenge"], "method": "passkey", "credential": key.get(asked["passkey"], **changed)}
    return SurfaceClient().send("POST", "/api/v1/auth/mfa", body)


def ask_alone() -> Any:
    """Return the options of a sign-in by a passkey alone."""
    response = SurfaceClient().send("POST", "/api/v1/auth/passkey/options")
    assert response.status_code == 200, response.content
    return response.json()


def sign_in_alone(key: SecurityKey, asked: Any = None, **changed: Any) -> Any:
    """Sign in by a passkey alone."""
    asked = asked or ask_alone()
    body = {"challenge": asked["challenge"], "credential": key.get(asked["options"], **changed)}
    return SurfaceClient().send("POST", "/api/v1/auth/passkey", body)
