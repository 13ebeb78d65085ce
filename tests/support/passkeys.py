"""Passkeys of the tests' people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from accounts import passkey_challenges, recovery_codes, services, webauthn
from accounts.models import Passkey, User
from tests.support.client import SurfaceClient
from tests.support.people import PASSWORD, Person
from tests.support.security_keys import SecurityKey

PASSKEYS = "/api/v1/auth/factors/passkeys"


def add_passkey(user: User, key: SecurityKey | None = None) -> SecurityKey:
    """Give a user a passkey without an audit entry, and return the key that has it."""
    key = key or SecurityKey()
    made = webauthn.register("challenge", key.create(webauthn.creation_options(user, "challenge", [])))
    Passkey.objects.create(user=user, name="key", **asdict(made))
    recovery_codes.issue(user)
    return key


def begin(person: Person) -> Any:
    """Begin to add a passkey, and return the response."""
    response = person.client.send("POST", PASSKEYS, {"password": PASSWORD})
    assert response.status_code == 200, response.content
    return response.json()


def confirm(person: Person, begun: Any, credential: Any, name: str = "laptop") -> Any:
    """Send the passkey that was made, and return the response."""
    body = {"challenge": begun["challenge"], "credential": credential, "name": name}
    return person.client.send("POST", f"{PASSKEYS}/confirm", body)


def ask() -> Any:
    """Sign Alice in by her password, and return the response that asks for a second factor."""
    body = {"username": "alice", "password": PASSWORD}
    response = SurfaceClient().send("POST", "/api/v1/auth/login", body)
    assert response.status_code == 403, response.content
    return response.json()


def is_refused(response: Any, field: str = "credential") -> bool:
    """Return whether a request was refused for this field alone."""
    return response.status_code == 400 and list(response.json()["errors"]) == [field]


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


def values_for(user: User, path: str) -> dict[str, Any]:
    """Return values for a request about passkeys, after giving the user one."""
    key = add_passkey(user)
    if path == "/api/v1/auth/passkey":
        asked = services.request_passkey()
        return {"challenge": asked.challenge, "credential": key.get(asked.options)}
    if path == f"{PASSKEYS}/confirm":
        challenge = passkey_challenges.issue(passkey_challenges.purpose_of_adding(user))
        options = webauthn.creation_options(user, challenge, [])
        return {"challenge": challenge, "credential": SecurityKey().create(options)}
    return {"passkey_id": user.passkeys.latest("created_at").id}
