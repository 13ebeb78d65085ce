"""The response header that names the fields of a body which had no effect (docs/contract.md section 2).

Unknown fields are ignored, because old clients send some. But a client that misspells `allowed_networks` would get an
unrestricted key in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

HEADER = "X-Ignored-Fields"
MAX_LENGTH = 1000
_MAX_PATH_LENGTH = 100
_MORE = "..."


def header_value(paths: Iterable[str]) -> str | None:
    """Return the header's value for these fields, or None without any.

    What a header cannot hold is percent-encoded. Long paths are cut, and a list that gets too long ends with dots.
    """
    names: list[str] = []
    length = 0
    for path in paths:
        name = quote(path[:_MAX_PATH_LENGTH], safe="$", errors="replace")
        length += len(name) + len(", ")
        if length > MAX_LENGTH:
            names.append(_MORE)
            break
        names.append(name)
    return ", ".join(names) or None
