"""The format of personal access tokens (docs/contract.md section 7).

`mat_`, 64 hex digits of random and 8 of CRC-32 over everything before them. The checksum is no secret: with it,
mistyped and invented tokens are rejected without a query, and scanners tell a token from noise.
"""

from __future__ import annotations

import re
import secrets
import zlib

from core.scrubbing import TOKEN_PREFIX

_FORMAT = re.compile(f"{TOKEN_PREFIX}[0-9a-f]{{64}}[0-9a-f]{{8}}")


def generate() -> str:
    """Return a new token, with 256 random bits."""
    unchecked = TOKEN_PREFIX + secrets.token_hex(32)
    return unchecked + _checksum(unchecked)


def is_well_formed(text: str) -> bool:
    """Return whether a text has the format and checksum of a token, which does not mean that it is one."""
    return _FORMAT.fullmatch(text) is not None and text[-8:] == _checksum(text[:-8])


def hint_of(token: str) -> str:
    """Return the last four digits of the random part."""
    return token[-12:-8]


def masked(hint: str) -> str:
    """Return the text that stands for a token wherever it must not be shown."""
    return f"{TOKEN_PREFIX}…{hint}"


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
