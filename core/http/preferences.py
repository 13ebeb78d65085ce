"""The `Prefer: handling=strict` header (RFC 7240), and the header with the number of warnings."""

from __future__ import annotations

import re
from collections.abc import Sized

from django.http import HttpRequest

APPLIED = "Preference-Applied"
STRICT = "handling=strict"

_PREFERENCE = re.compile(
    r"""\s*([\w!#$%&'*+.^`|~-]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^\s",;]*)\s*)?((?:;(?:"(?:[^"\\]|\\.)*"|[^",])*)?)""",
    re.ASCII,
)


def is_strict(request: HttpRequest) -> bool:
    """Return whether the request prefers strict handling. If it names the preference twice, the first counts."""
    header, position = request.headers.get("Prefer", ""), 0
    while position < len(header) and (match := _PREFERENCE.match(header, position)):
        if match[1].lower() == "handling":
            return (match[2] or "").strip('"').lower() == "strict"
        position = match.end() + 1  # the comma
    return False


def warnings_header(warnings: Sized) -> dict[str, str]:
    """Return the header with the number of warnings about a config that was written."""
    return {"X-Config-Warnings": str(len(warnings))}
