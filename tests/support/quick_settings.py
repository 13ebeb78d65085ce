"""maim's settings with a quick password hasher, for servers on which tests do not measure hashing."""

import sys

# Packages of the development requirements, which Django REST framework imports where it finds them, and production
# is without. A server starts in a tenth less time.
for name in ("pygments", "requests"):
    sys.modules[name] = None  # type: ignore[assignment]  # Python's own mark of what cannot be imported

from maim.settings import *  # noqa: E402, F403  # settings are names of a module

PASSWORD_HASHERS = ["tests.support.quick_hashers.QuickArgon2PasswordHasher", "accounts.hashers.FormerPasswordHasher"]
