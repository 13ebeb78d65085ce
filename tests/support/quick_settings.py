"""maim's settings, with passwords hashed in a thousandth of the time: for servers on which that is not the subject."""

from maim.settings import *  # noqa: F403

PASSWORD_HASHERS = ["tests.support.quick_hashers.QuickArgon2PasswordHasher", "accounts.hashers.FormerPasswordHasher"]
