"""Second factors of the tests' people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyotp
from django.utils import timezone

from accounts import challenges, recovery_codes, totp
from accounts.models import TotpFactor, User
from core import sealing
from tests.support import passkeys, tokens
from tests.support.client import SurfaceClient
from tests.support.people import PASSWORD


@dataclass(frozen=True, slots=True)
class Authenticator:
    """The app of somebody who has enrolled it, and their recovery codes."""

    secret: str
    recovery_codes: list[str]

    def code(self, *, later: int = 0) -> str:
        """Return the code that the app shows now, or some steps later. The next one is good already."""
        totp = pyotp.TOTP(self.secret)
        return totp.at(timezone.now() + timedelta(seconds=later * totp.interval))


def enrol(user: User) -> Authenticator:
    """Give a user a confirmed app, none of whose codes was used yet."""
    secret = totp.new_secret()
    TotpFactor.objects.create(user=user, secret=sealing.seal(secret), confirmed_at=timezone.now())
    return Authenticator(secret, recovery_codes.issue(user))


def new_challenge(user: User) -> str:
    """Return a challenge of a user whose password was right."""
    return challenges.issue(user)


def login(username: str = "alice", password: str = PASSWORD, **options: Any) -> Any:
    return SurfaceClient().send("POST", "/api/v1/auth/login", {"username": username, "password": password}, **options)


def answer(challenge: str, code: str, method: str = "totp", **options: Any) -> Any:
    """Send the second step of a sign-in."""
    body = {"challenge": challenge, "method": method, "code": code}
    return SurfaceClient().send("POST", "/api/v1/auth/mfa", body, **options)


def values_for(user: User, path: str) -> dict[str, Any]:
    """Return values for a request about factors or tokens, after giving the user what the request is about."""
    if path == "/api/v1/auth/mfa":
        return {"challenge": new_challenge(user), "code": recovery_codes.issue(user)[0]}
    if path == "/api/v1/auth/factors/totp/confirm":
        secret = totp.new_secret()
        TotpFactor.objects.update_or_create(user=user, defaults={"secret": sealing.seal(secret), "confirmed_at": None})
        return {"code": Authenticator(secret, []).code()}
    if path in ("/api/v1/auth/factors/totp/remove", "/api/v1/auth/factors/recovery-codes"):
        TotpFactor.objects.filter(user=user).delete()
        enrol(user)
    if "passkey" in path and not path.endswith(("/passkeys", "/options")):
        return passkeys.values_for(user, path)
    if path.startswith(tokens.TOKENS):
        return tokens.values_for(user, path)
    return {}
