"""How keys are stored: as HMAC-SHA256 under a secret that is not in the database.

Secrets have versions (MAIM_KEY_SECRETS). New keys use the newest; a key stored under an older one stays
good as long as that secret is configured.
"""

from __future__ import annotations

import hmac
from functools import cache

from django.conf import settings


def current_version() -> int:
    """The version of the secret that new keys are stored under."""
    return next(iter(settings.KEY_SECRETS))


def digest(key: str, version: int) -> str:
    """The key's digest under a secret, as 64 hex digits."""
    return hmac.digest(_encoded(settings.KEY_SECRETS[version]), key.encode(), "sha256").hex()


def all_digests(key: str) -> list[str]:
    """What the key may be stored as: one digest for each configured secret, newest first."""
    return [digest(key, version) for version in settings.KEY_SECRETS]


@cache
def _encoded(secret: str) -> bytes:
    return secret.encode()
