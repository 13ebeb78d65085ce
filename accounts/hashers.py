"""Password hashing with bounded concurrency and low priority.

An Argon2 hash costs about 100 MB and a tenth of a second of CPU. A worker runs two at once, in threads of their own
that leave the cores to other requests. A few more wait, each holding a thread; beyond that the caller gets 503. So any
number of logins leaves threads and cores for other requests.
"""

from __future__ import annotations

import os
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import ParamSpec, TypeVar

import bcrypt
from django.contrib.auth.hashers import Argon2PasswordHasher, BCryptPasswordHasher
from django.utils.translation import gettext_lazy as _

from core.errors import Unavailable
from core.waiting import waiting

AT_ONCE = 2
ADMITTED = 20  # of the public surface's 32 threads, so that twelve are left for other requests
# Added to the worker's. Argon2 computes in eight threads, which all have it, and leave most of a core to a request.
NICENESS = 10

P = ParamSpec("P")
T = TypeVar("T")


def run_hash(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of `function` in one of the threads that hash. Raise Unavailable when too many wait already."""
    if not _admitted.acquire(blocking=False):
        raise Unavailable(_("Too many people are signing in at this moment, try again shortly"))
    try:
        with waiting():
            return _threads.submit(function, *args, **kwargs).result()
    finally:
        _admitted.release()


def _lower_priority() -> None:
    """Lower the priority of this thread and of those that it starts. Only Linux has priorities of threads."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + NICENESS
        os.setpriority(os.PRIO_PROCESS, thread, niceness)  # at most 19, to which Linux cuts it


_admitted = BoundedSemaphore(ADMITTED)
_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hash", initializer=_lower_priority)


def normalize_password(password: str) -> str:
    """Return the form in which a password is hashed: NFC, because keyboards spell "é" in one character or in two."""
    return unicodedata.normalize("NFC", password)


def spellings(password: str) -> tuple[str, ...]:
    """Return the texts whose hash may be stored: the normalized password, and it as typed, if that is another text.

    Hashes from before passwords were normalized, and imported ones, are of what was typed.
    """
    return tuple(dict.fromkeys((normalize_password(password), password)))


class BoundedArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2 by `run_hash`."""

    def encode(self, password: str, salt: str) -> str:
        return run_hash(super().encode, password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        return run_hash(super().verify, password, encoded)


class FormerPasswordHasher(BCryptPasswordHasher):
    """bcrypt by `run_hash`, for imported hashes. A sign-in replaces them by Argon2.

    bcrypt reads 72 bytes. The former system truncated longer passwords there. So does this, to keep them valid.
    """

    def encode(self, password: str, salt: str | bytes) -> str:
        salt = salt.encode("ascii") if isinstance(salt, str) else salt
        data = run_hash(bcrypt.hashpw, password.encode()[:72], salt)
        return f"{self.algorithm}${data.decode('ascii')}"
