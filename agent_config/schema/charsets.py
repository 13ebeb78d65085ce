r"""Sets of characters as the bits of one integer, so that two sets are compared in a microsecond.

Each character of the basic plane has its own bit. The characters beyond it share 1,024 bits for each kind that a class
such as `\w` distinguishes. So a set may hold more characters than intended but never fewer, and two sets that have a
character in common always overlap.
"""

from __future__ import annotations

import re
from functools import cache

_BASIC = 1 << 16
_SHARED = 1 << 10
_KINDS = 3
_DIGITS, _LETTERS, _OTHERS = (((1 << _SHARED) - 1) << (_BASIC + kind * _SHARED) for kind in range(_KINDS))
_BEYOND = _DIGITS | _LETTERS | _OTHERS
_BEYOND_OF_CLASS = {
    r"\d": _DIGITS,
    r"\D": _LETTERS | _OTHERS,
    r"\w": _DIGITS | _LETTERS,
    r"\W": _OTHERS,
    r"\s": 0,
    r"\S": _BEYOND,
}

ALL = (1 << (_BASIC + _KINDS * _SHARED)) - 1
END = ALL + 1  # no character: what follows the last one


def one(code: int) -> int:
    """Return the set of one character."""
    if code < _BASIC:
        return 1 << code
    character = chr(code)
    kind = 0 if character.isdecimal() else 1 if character.isalnum() else 2
    return 1 << (_BASIC + kind * _SHARED + code % _SHARED)


def between(low: int, high: int) -> int:
    """Return the set of the characters from `low` to `high`, both included."""
    beyond = _BEYOND if high >= _BASIC else 0
    high = min(high, _BASIC - 1)
    return beyond | ((1 << (high + 1)) - (1 << low) if low <= high else 0)


def without(characters: int) -> int:
    """Return the complement. It has all characters beyond the basic plane, because they share their bits."""
    return (ALL & ~characters) | _BEYOND


def of_class(escape: str, flags: int) -> int:
    r"""Return the set of the characters that a class such as `\w` matches under these flags."""
    basic = _basic_of_class(escape, flags & re.ASCII)
    if flags & re.ASCII:
        return basic | (_BEYOND if escape.isupper() else 0)
    return basic | _BEYOND_OF_CLASS[escape]


def one_in_any_case(code: int) -> int:
    """Return the set of the characters that one character matches when case is ignored."""
    character = chr(code)
    found = one(code)
    for form in (character.lower(), character.upper()):
        if len(form) == 1:
            found |= one(ord(form))
    if found & _cased() and (code > 127 or character in "iIkKsS"):
        found |= _cased() & ~between(0, 127)  # a few have further cases, such as ſ of s
    return found


def in_any_case(characters: int) -> int:
    """Return the set of the characters that a range or a class matches when case is ignored."""
    return characters | _cased() if characters & _cased() else characters


@cache
def _basic_of_class(escape: str, flags: int) -> int:
    found = 0
    for run in re.finditer(f"{escape}+", _every_basic_character(), flags):
        found |= between(run.start(), run.end() - 1)
    return found


@cache
def _cased() -> int:
    found = _BEYOND
    for code, character in enumerate(_every_basic_character()):
        if character.lower() != character or character.upper() != character:
            found |= 1 << code
    return found


@cache
def _every_basic_character() -> str:
    return "".join(map(chr, range(_BASIC)))
