"""Password hashing that cannot take the machine.

An Argon2 hash costs about 100 MB and a tenth of a second of CPU. A worker runs two at once; a few more
may wait, holding a thread each; beyond that the caller is told to come back. So logins, however
many, leave threads and cores for everybody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

import bcrypt
from django.contrib.auth.hashers import Argon2PasswordHasher, BCryptPasswordHasher
from django.utils.translation import gettext_lazy as _

from core.errors import Unavailable

AT_ONCE = 2
ADMITTED = 20  # of the public surface's 32 threads, of which eight may wait out a lease

_running = BoundedSemaphore(AT_ONCE)
_admitted = BoundedSemaphore(ADMITTED)


@contextmanager
def hash_slot() -> Iterator[None]:
    """Waits for one of the places to hash in; raises Unavailable when too many wait already."""
    if not _admitted.acquire(blocking=False):
        raise Unavailable(_("Too many people are signing in at this moment, try again shortly"))
    try:
        with _running:
            yield
    finally:
        _admitted.release()


class BoundedArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2 within `hash_slot`."""

    def encode(self, password: str, salt: str) -> str:
        with hash_slot():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with hash_slot():
            return super().verify(password, encoded)


class FormerPasswordHasher(BCryptPasswordHasher):
    """Checks the hashes of the system before, within `hash_slot`; whoever signs in gets an Argon2 one.

    bcrypt reads 72 bytes. That system cut longer passwords there, and so does this: they stay good.
    """

    def encode(self, password: str, salt: str | bytes) -> str:
        salt = salt.encode("ascii") if isinstance(salt, str) else salt
        with hash_slot():
            data = bcrypt.hashpw(password.encode()[:72], salt)
        return f"{self.algorithm}${data.decode('ascii')}"
