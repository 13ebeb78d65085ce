"""maim's settings with a quick password hasher, for servers on which tests do not measure hashing."""

from maim.settings import *  # noqa: F403

PASSWORD_HASHERS = ["tests.support.quick_hashers.QuickArgon2PasswordHasher", "accounts.hashers.FormerPasswordHasher"]
