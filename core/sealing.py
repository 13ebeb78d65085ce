"""Sealing: encryption of stored secrets with Fernet, under the keys of MAIM_ENCRYPTION_KEYS."""

from __future__ import annotations

from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class Unsealable(ValueError):
    """A text that no configured key can decrypt. The message contains nothing of it."""


@cache
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def seal(text: str) -> str:
    """Return the text encrypted under the newest key, as URL-safe text."""
    return seal_bytes(text.encode())


def seal_bytes(content: bytes) -> str:
    """Return bytes encrypted under the newest key, as URL-safe text."""
    return _fernet(settings.ENCRYPTION_KEYS).encrypt(content).decode()


def is_current(sealed: str) -> bool:
    """Return whether a text is sealed under the newest key."""
    try:
        _fernet(settings.ENCRYPTION_KEYS[:1]).decrypt(sealed.encode())
    except InvalidToken:
        return False
    return True


def reseal(sealed: str) -> str:
    """Return the same text sealed under the newest key. Raise Unsealable."""
    return seal(unseal(sealed))


def unseal(sealed: str) -> str:
    """Return the text that was sealed. Raise Unsealable."""
    return unseal_bytes(sealed).decode()


def unseal_bytes(sealed: str) -> bytes:
    """Return the bytes that were sealed. Raise Unsealable."""
    try:
        return _fernet(settings.ENCRYPTION_KEYS).decrypt(sealed.encode())
    except InvalidToken as error:
        raise Unsealable("sealed under a key that is not configured here") from error
