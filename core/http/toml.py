"""TOML, for people who keep configs in files. It holds what our JSON holds, except null."""

from __future__ import annotations

import json
import tomllib
from typing import Any, NoReturn

import tomli_w
from django.utils.translation import gettext as _

from core import strict_json
from core.strict_json import NotAcceptable


def dumps(document: dict[str, Any]) -> str:
    """Return a JSON object as TOML. Raise NotAcceptable if it has a null."""
    try:
        return tomli_w.dumps(document)
    except TypeError as error:
        raise NotAcceptable(_("TOML has no null; take JSON")) from error


def loads(raw: bytes) -> Any:
    """Parse a TOML document by the rules of `strict_json`. Raise NotAcceptable.

    Not for untrusted input, because the parser takes quadratic time for a key of many dotted parts.
    """
    try:
        document = tomllib.loads(raw.decode("utf-8"))
        text = json.dumps(document, default=_refuse)
    except UnicodeDecodeError as error:
        raise NotAcceptable(_("not UTF-8 at byte %(number)d") % {"number": error.start}) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise NotAcceptable(_("not TOML: %(reason)s") % {"reason": error}) from error
    return strict_json.loads(text.encode())


def _refuse(value: Any) -> NoReturn:
    raise NotAcceptable(_("dates and times are not what JSON knows; write them as texts"))
