"""Signatures: HMAC-SHA256 under keys derived from MAIM_KEY_PEPPERS, which are not in the database.

A signature is `<id of the key>:<64 hex digits>`. Ids of keys grow, and new signatures use the newest.
"""

from __future__ import annotations

import hmac
from enum import Enum, auto
from functools import cache
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
    key_id = next(iter(settings.KEY_PEPPERS))
    return f"{key_id}:{_mac(key_id, text)}"


def check(text: bytes, signature: str | None) -> Check:
    """Check a signature."""
    if signature is None:
        return Check.UNSIGNED
    key_id = key_of(signature)
    if key_id == UNSIGNED:
        return Check.INVALID
    if key_id not in settings.KEY_PEPPERS:
        return Check.UNKNOWN_KEY
    is_valid = hmac.compare_digest(f"{key_id}:{_mac(key_id, text)}".encode(), signature.encode())
    return Check.VALID if is_valid else Check.INVALID


def key_of(signature: str | None) -> int:
    """Return the id of a signature's key; UNSIGNED if there is none."""
    key_id = (signature or "").partition(":")[0]
    return int(key_id) if key_id.isascii() and key_id.isdecimal() else UNSIGNED


def _mac(key_id: int, text: bytes) -> str:
    return hmac.digest(_key(settings.KEY_PEPPERS[key_id]), text, "sha256").hex()


@cache
def _key(pepper: str) -> bytes:
    """Derive the key, so that no signature is the digest of an API key."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"maim audit log").derive(pepper.encode())
