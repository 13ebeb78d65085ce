"""Digests, as which keys are stored: HMAC-SHA256 under a pepper that is not in the database.

Peppers have versions (MAIM_KEY_SECRETS). New keys use the newest. A key stored under an older pepper stays valid as
long as that one is configured.
"""

from __future__ import annotations

import hmac
from functools import cache

from django.conf import settings


def current_version() -> int:
    """Return the version of the pepper for new keys."""
    return next(iter(settings.KEY_SECRETS))


def digest(secret: str, version: int) -> str:
    """Return the digest of a secret under a pepper, as 64 hex digits."""
    return hmac.digest(_encoded(settings.KEY_SECRETS[version]), secret.encode(), "sha256").hex()


def all_digests(secret: str) -> list[str]:
    """Return the digests of a secret under every configured pepper, newest first."""
    return [digest(secret, version) for version in settings.KEY_SECRETS]


@cache
def _encoded(pepper: str) -> bytes:
    return pepper.encode()
