"""Password hashing with bounded concurrency.

An Argon2 hash costs about 100 MB and a tenth of a second of CPU. A worker runs two at once. A few more wait, each
holding a thread; beyond that the caller gets 503. So any number of logins leaves threads and cores for other
requests.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

import bcrypt
from django.contrib.auth.hashers import Argon2PasswordHasher, BCryptPasswordHasher
from django.utils.translation import gettext_lazy as _

from core.errors import Unavailable

AT_ONCE = 2
ADMITTED = 20  # of the public surface's 32 threads, of which eight may wait for workers (core.epoch)

_running = BoundedSemaphore(AT_ONCE)
_admitted = BoundedSemaphore(ADMITTED)


@contextmanager
def hash_slot() -> Iterator[None]:
    """Wait for a free slot to hash in. Raise Unavailable when too many wait already."""
    if not _admitted.acquire(blocking=False):
        raise Unavailable(_("Too many people are signing in at this moment, try again shortly"))
    try:
        with _running:
            yield
    finally:
        _admitted.release()


def normalize_password(password: str) -> str:
    """Return the form in which a password is hashed: NFC, because keyboards spell "é" in one character or in two."""
    return unicodedata.normalize("NFC", password)


def spellings(password: str) -> tuple[str, ...]:
    """Return the texts whose hash may be stored: the normalized password, and it as typed, if that is another text.

    Hashes from before passwords were normalized, and imported ones, are of what was typed.
    """
    return tuple(dict.fromkeys((normalize_password(password), password)))


class BoundedArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2 within `hash_slot`."""

    def encode(self, password: str, salt: str) -> str:
        with hash_slot():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with hash_slot():
            return super().verify(password, encoded)


class FormerPasswordHasher(BCryptPasswordHasher):
    """bcrypt within `hash_slot`, for imported hashes. A sign-in replaces them by Argon2.

    bcrypt reads 72 bytes. The former system truncated longer passwords there. So does this, to keep them valid.
    """

    def encode(self, password: str, salt: str | bytes) -> str:
        salt = salt.encode("ascii") if isinstance(salt, str) else salt
        with hash_slot():
            data = bcrypt.hashpw(password.encode()[:72], salt)
        return f"{self.algorithm}${data.decode('ascii')}"
