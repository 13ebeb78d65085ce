"""Personal access tokens of the tests' people."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts import token_format
from accounts.models import PersonalToken, User
from accounts.random_tokens import digest_of
from tenants.models import Tenant
from tests.support.client import SurfaceClient

TOKENS = "/api/v1/auth/tokens"
# The same in all requests of a test, because they look for the token that has it.
EXPIRY = (timezone.now() + timedelta(days=30)).replace(microsecond=0)


def add_token(user: User, *, scope: str = "write", tenant: Tenant | None = None, **fields: Any) -> str:
    """Give a user a token, and return its text."""
    token = token_format.generate()
    values = {"name": "script", "expires_at": timezone.now() + timedelta(days=90), **fields}
    PersonalToken.objects.create(
        user=user,
        scope=scope,
        tenant_id=None if tenant is None else tenant.id,
        digest=digest_of(token),
        hint=token_format.hint_of(token),
        **values,
    )
    return token


def script(user: User, **options: Any) -> SurfaceClient:
    """Return a client with a new token of a user."""
    return SurfaceClient(token=add_token(user, **options))


def newest_token(user: User) -> PersonalToken:
    return user.personal_tokens.latest("created_at")


def values_for(user: User, path: str) -> dict[str, Any]:
    """Return values for a request about a token, after giving the user one."""
    values = {"token_expiry": EXPIRY.isoformat()}
    if path == TOKENS:
        return values
    if not user.personal_tokens.filter(expires_at=EXPIRY).exists():
        add_token(user, expires_at=EXPIRY)
    return {**values, "token_id": user.personal_tokens.latest("created_at").id}
