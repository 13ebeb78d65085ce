"""Secrets that have to be read again are sealed with Fernet under the keys of MAIM_ENCRYPTION_KEYS."""

from __future__ import annotations

from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class Unsealable(ValueError):
    """Sealed under no key that is configured, or not sealed at all. The text repeats nothing of it."""


@cache
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def seal(text: str) -> str:
    """`text` under the newest key, as URL-safe text."""
    return _fernet(settings.ENCRYPTION_KEYS).encrypt(text.encode()).decode()


def is_current(sealed: str) -> bool:
    """Whether it is sealed under the newest key."""
    try:
        _fernet(settings.ENCRYPTION_KEYS[:1]).decrypt(sealed.encode())
    except InvalidToken:
        return False
    return True


def reseal(sealed: str) -> str:
    """The same text under the newest key; raises Unsealable."""
    return seal(unseal(sealed))


def unseal(sealed: str) -> str:
    """What `seal` was given; raises Unsealable."""
    try:
        return _fernet(settings.ENCRYPTION_KEYS).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unsealable("sealed under a key that is not configured here") from error
