"""Signatures: HMAC-SHA256 under keys derived from MAIM_KEY_PEPPERS, which are not in the database.

A signature is `<id of the key>:<64 hex digits>`. Ids of keys grow, and new signatures use the newest.
"""

from __future__ import annotations

import hmac
from enum import Enum, auto
from functools import cache, lru_cache
from typing import Any

import orjson
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

UNSIGNED = -1  # in place of the id of a key


class Check(Enum):
    """The result of checking a signature."""

    VALID = auto()
    INVALID = auto()
    UNKNOWN_KEY = auto()  # a key that is not configured here
    UNSIGNED = auto()


def message(*values: Any) -> bytes:
    """Return the canonical form of texts, whole numbers and None: a JSON array as of RFC 8785."""
    return orjson.dumps(values)


def sign(text: bytes) -> str:
    """Return the signature under the newest key."""
    key_id, pepper = next(iter(settings.KEY_PEPPERS.items()))
    return _signature(key_id, pepper, text)


def check(text: bytes, signature: str | None) -> Check:
    """Check a signature."""
    if signature is None:
        return Check.UNSIGNED
    key_id = key_of(signature)
    if key_id == UNSIGNED:
        return Check.INVALID
    pepper = settings.KEY_PEPPERS.get(key_id)
    if pepper is None:
        return Check.UNKNOWN_KEY
    return Check.VALID if signature == _signature(key_id, pepper, text) else Check.INVALID


def key_of(signature: str | None) -> int:
    """Return the id of a signature's key; UNSIGNED if there is none."""
    return _parse_key_id((signature or "").partition(":")[0])


@lru_cache
def _parse_key_id(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else UNSIGNED


def _signature(key_id: int, pepper: str, text: bytes) -> str:
    return f"{key_id}:{hmac.digest(_key(pepper), text, 'sha256').hex()}"


@cache
def _key(pepper: str) -> bytes:
    """Derive the key, so that no signature is the digest of an API key."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"maim audit log").derive(pepper.encode())
