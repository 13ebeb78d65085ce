"""maim's settings with a quick password hasher, for servers on which tests do not measure hashing."""

import sys

# Packages that Django REST framework imports where it finds them. Production is without the first, and needs the second
# to sign in by OpenID Connect alone. A server starts in a tenth less time.
for name in ("pygments", "requests"):
    sys.modules[name] = None  # type: ignore[assignment]  # Python's own mark of what cannot be imported

from maim.settings import *  # noqa: E402, F403  # settings are names of a module

PASSWORD_HASHERS = ["tests.support.quick_hashers.QuickArgon2PasswordHasher", "accounts.hashers.FormerPasswordHasher"]
