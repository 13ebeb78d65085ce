"""TOML, for people who keep configs in files. It holds what our JSON holds, except null."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import date, time
from typing import Any

import tomli_w
from django.utils.translation import gettext as _

from core import strict_json
from core.strict_json import NotAcceptable

Place = tuple[str | int, ...]
MAX_PARTS = 16  # of a dotted key, because the parser takes time in proportion to their square
_LONG_KEY = re.compile(
    rf"""(?<![\w.-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_PARTS}}}(?=[\w"'-])""", re.ASCII
)


def dumps(document: dict[str, Any]) -> str:
    """Return a JSON object as TOML. Raise NotAcceptable if it has a null."""
    try:
        return tomli_w.dumps(document)
    except TypeError as error:
        raise NotAcceptable(_("TOML has no null; take JSON")) from error


def loads(raw: bytes) -> Any:
    """Parse a TOML document by the rules of `strict_json`. Raise NotAcceptable, also for dates and times."""
    document, times = loads_with_times(raw)
    if times:
        raise NotAcceptable(_("dates and times are not what JSON knows; write them as texts"))
    return document


def loads_with_times(raw: bytes) -> tuple[Any, list[Place]]:
    """Parse a TOML document like `loads`, with dates and times as texts, and return their places, too."""
    times: list[Place] = []
    try:
        text = raw.decode("utf-8")
        if _LONG_KEY.search(text):
            raise NotAcceptable(_("a key may have at most %(number)d parts") % {"number": MAX_PARTS})
        found = json.dumps(_without_times(tomllib.loads(text), (), times))
    except NotAcceptable:
        raise
    except UnicodeDecodeError as error:
        raise NotAcceptable(_("not UTF-8 at byte %(number)d") % {"number": error.start}) from error
    except (ValueError, RecursionError) as error:  # also for numbers of thousands of digits
        raise NotAcceptable(_("not TOML: %(reason)s") % {"reason": error}) from error
    return strict_json.loads(found.encode()), times


def _without_times(value: Any, place: Place, times: list[Place]) -> Any:
    """Return a copy of a value with its dates and times as texts, and add their places to `times`."""
    if isinstance(value, dict):
        return {key: _without_times(member, (*place, key), times) for key, member in value.items()}
    if isinstance(value, list):
        return [_without_times(member, (*place, number), times) for number, member in enumerate(value)]
    if isinstance(value, date | time):
        times.append(place)
        return value.isoformat()
    return value
