"""A strict JSON parser, which accepts only what every parser, database and response reads alike.

Python's parser accepts what RFC 8259 leaves open: duplicate keys, NaN, numbers of any size, lone surrogates.
This one refuses each of them with a sentence that says why.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from django.utils.translation import gettext as _

MAX_DEPTH = 28
# Objects, lists and their members. Every later check takes time in proportion to this number.
MAX_VALUES = 100_000
MAX_INTEGER, MIN_INTEGER = 2**63 - 1, -(2**63)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class NotAcceptable(ValueError):
    """A document that the strict parser refuses; the message says why."""


def loads(raw: bytes) -> Any:
    """Parse a UTF-8 JSON document of at most MAX_VALUES values, whose members are at most MAX_DEPTH deep.

    Raise NotAcceptable.
    """
    try:
        document = _decoder.decode(raw.decode("utf-8"))
    except NotAcceptable:
        raise
    except UnicodeDecodeError as error:
        raise NotAcceptable(_("not UTF-8 at byte %(number)d") % {"number": error.start}) from error
    except json.JSONDecodeError as error:
        raise NotAcceptable(
            _("not JSON at line %(line)d, column %(column)d") % {"line": error.lineno, "column": error.colno}
        ) from error
    except RecursionError as error:
        raise _too_deep() from error
    # Each value takes two characters or more, so that a shorter document needs no counting.
    if len(raw) > 2 * MAX_VALUES and _has_too_many_values(document):
        raise NotAcceptable(_("more than %(number)d values") % {"number": MAX_VALUES})
    # The document itself is one level more than the members that are stored.
    check(document, MAX_DEPTH + 1)
    return document


def check(value: Any, depth: int = MAX_DEPTH) -> None:
    """Raise NotAcceptable if a value is nested too deep, or has text that cannot be stored."""
    _check_texts([value] if isinstance(value, str) else ())
    for containers, members in _levels(value, depth):
        _check_texts(key for each in containers if type(each) is dict for key in each)
        _check_texts(each for each in members if type(each) is str)


def check_depth(value: Any, depth: int = MAX_DEPTH) -> None:
    """Raise NotAcceptable if a part of a parsed document is nested too deep."""
    for _level in _levels(value, depth):
        pass


_CONTAINERS = frozenset({dict, list})
_Level = tuple[list[Any], list[Any]]


def _levels(value: Any, depth: int) -> Iterator[_Level]:
    """Yield the objects and lists of each level, with their members. Raise NotAcceptable for more than `depth` levels.

    Level by level, because a call for each of half a million values would take most of a second.
    """
    members = [value]
    while containers := [each for each in members if type(each) in _CONTAINERS]:
        if depth == 0:
            raise _too_deep()
        depth -= 1
        members = []
        for each in containers:
            members += each.values() if type(each) is dict else each
        yield containers, members


def _check_texts(texts: Iterable[str]) -> None:
    if _UNSTORABLE.search("".join(texts)):
        raise NotAcceptable(_("text must not contain NUL characters or lone surrogates"))


def _has_too_many_values(document: Any) -> bool:
    number, left = 0, [document]
    while left and number <= MAX_VALUES:
        value = left.pop()
        members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        number += len(members)
        left += members
    return number > MAX_VALUES


def _too_deep() -> NotAcceptable:
    return NotAcceptable(_("nested deeper than %(depth)d levels") % {"depth": MAX_DEPTH})


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _value in pairs:
            if key in seen:
                raise NotAcceptable(_("the key %(key)s occurs twice in one object") % {"key": repr(key[:100])})
            seen.add(key)
    return result


def _integer(digits: str) -> int:
    if len(digits) > 20 or not MIN_INTEGER <= (number := int(digits)) <= MAX_INTEGER:
        raise NotAcceptable(_("the number %(number)s does not fit in 64 bits") % {"number": digits[:25]})
    return number


def _float(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise NotAcceptable(_("the number %(number)s does not fit in 64 bits") % {"number": digits[:25]})
    return number


def _constant(name: str) -> NoReturn:
    raise NotAcceptable(_("%(name)s is not JSON") % {"name": name})


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
