"""Random tokens: given to one person, stored as digests, so that a copy of the database holds none.

A fast digest is enough, because nobody guesses 256 random bits.
"""

from __future__ import annotations

import hashlib
import secrets


def new_token() -> str:
    """Return a token of 256 random bits."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Return the digest under which a token is stored and found."""
    return hashlib.sha256(token.encode()).hexdigest()
