"""Masking of API keys and personal access tokens in text that somebody writes or that is logged.

Their formats are in apikeys.keyformat and accounts.token_format. People paste keys into descriptions, and bots
report requests with keys in them. So a key is found in the spellings in which it gets there: without its prefix, in
capitals, percent-encoded, or broken by a line end. A token without its prefix is like any other number, and stays.
"""

from __future__ import annotations

import re
from typing import Any

PREFIX = "mmc_"
MASK = f"{PREFIX}…"
TOKEN_PREFIX = "mat_"  # noqa: S105  # of every token
TOKEN_MASK = f"{TOKEN_PREFIX}…"

# What may stand between two characters of a key: a line end, a tab, or an encoded blank.
_BREAK = r"(?:%(?:0[9AD]|20)|\\[nrt]|[\r\n\t]){0,8}"
# A character of the base64 of a key: a letter or digit, as it is or percent-encoded.
_CHARACTER = r"(?:[A-Za-z0-9+/]|%(?:2[BF]|[3-7][0-9A-F]))"
_MIN_LENGTH, _MAX_LENGTH = 40, 112
# How the base64 of each key begins: that of `tenant_`, without the last character, in which other bits are, too.
_BEGINNING = "dGVuYW50X"


def _start(text: str) -> str:
    return _BREAK.join(map(re.escape, text))


def _characters(minimum: int, maximum: int) -> str:
    return f"(?:{_BREAK}{_CHARACTER}){{{minimum},{maximum}}}"


# After as many characters as the longest key has, a break ends it, so that the next line stays. An old key may be
# longer, but has no breaks then.
_KEY = re.compile(
    f"(?:{_start('mmc')}{_BREAK}(?:_|%5F){_characters(_MIN_LENGTH, _MAX_LENGTH)}"
    f"|{_start(_BEGINNING)}{_characters(_MIN_LENGTH, _MAX_LENGTH - len(_BEGINNING))})"
    f"{_CHARACTER}*(?:=|%3D){{0,2}}",
    re.IGNORECASE,
)


# A personal access token, or the greater part of one.
_HEX = "(?:[0-9a-f]|%(?:3[0-9]|[46][1-6]))"
_TOKEN = re.compile(f"{_start('mat')}{_BREAK}(?:_|%5F)(?:{_BREAK}{_HEX}){{{_MIN_LENGTH},72}}", re.IGNORECASE)


def scrubbed(text: str) -> str:
    """Return the text with the API keys and tokens in it masked."""
    return _TOKEN.sub(TOKEN_MASK, _KEY.sub(MASK, text))


def scrubbed_text(text: str | None) -> str | None:
    """Return an optional text with the API keys and tokens in it masked."""
    return None if text is None else scrubbed(text)


def scrubbed_json(value: Any) -> Any:
    """Return a JSON value with the API keys and tokens in its texts and names masked."""
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, list):
        return [scrubbed_json(item) for item in value]
    if isinstance(value, dict):
        return {scrubbed(name): scrubbed_json(item) for name, item in value.items()}
    return value
