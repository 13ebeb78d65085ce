"""A quick and therefore insecure password hasher."""

from __future__ import annotations

from accounts.hashers import BoundedArgon2PasswordHasher


class QuickArgon2PasswordHasher(BoundedArgon2PasswordHasher):
    """Argon2 with the lowest costs, and the same limits."""

    time_cost = 1
    memory_cost = 8
    parallelism = 1
