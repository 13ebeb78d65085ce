"""Recovery codes: ten for each person with a factor, of 80 random bits, stored as digests."""

from __future__ import annotations

import base64
import hashlib
import secrets

from accounts.models import RecoveryCode, User

NUMBER = 10
_BYTES, _GROUP = 10, 4


def issue(user: User) -> list[str]:
    """Return new codes, which replace those before."""
    codes = [_new_code() for _ in range(NUMBER)]
    user.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(digest=_digest(user, code), user=user) for code in codes)
    return codes


def use(user: User, code: str) -> bool:
    """Return whether a code is good, and use it up. Of several at once, one gets True."""
    return bool(RecoveryCode.objects.filter(pk=_digest(user, code), user=user).delete()[0])


def _new_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_BYTES)).decode().lower()
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))


def _digest(user: User, code: str) -> str:
    """Return the digest of a code, however it was typed. A fast one is enough, because nobody guesses 80 bits."""
    plain = "".join(code.split()).replace("-", "").lower()
    return hashlib.sha256(f"{user.pk} {plain}".encode()).hexdigest()
