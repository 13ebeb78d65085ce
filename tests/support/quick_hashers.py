"""Password hashes that are quick to make, and just as quick to break."""

from __future__ import annotations

from accounts.hashers import BoundedArgon2PasswordHasher


class QuickArgon2PasswordHasher(BoundedArgon2PasswordHasher):
    """Argon2 at its least, within the same bounds."""

    time_cost = 1
    memory_cost = 8
    parallelism = 1
