"""Digests of API keys: HMAC-SHA256 under a pepper, which is not in the database.

Each pepper has an id (MAIM_KEY_PEPPERS). New keys use the newest pepper; a key stored under an older one stays
valid as long as that pepper is configured.
"""

from __future__ import annotations

import hmac
from functools import cache

from django.conf import settings


def current_pepper_id() -> int:
    """Return the id of the pepper that new keys are stored under."""
    return next(iter(settings.KEY_PEPPERS))


def digest(secret: str, pepper_id: int) -> str:
    """Return the digest of a secret under a pepper, as 64 hex digits."""
    return hmac.digest(_encoded(settings.KEY_PEPPERS[pepper_id]), secret.encode(), "sha256").hex()


def all_digests(secret: str) -> list[str]:
    """Return the digests of a secret under every configured pepper, newest first."""
    return [digest(secret, pepper_id) for pepper_id in settings.KEY_PEPPERS]


@cache
def _encoded(pepper: str) -> bytes:
    return pepper.encode()
