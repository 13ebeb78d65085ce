"""Conditional requests (RFC 9110 section 13): `If-None-Match` on reads, `If-Match` on writes."""

from __future__ import annotations

import re
from collections.abc import Collection

from django.http import HttpRequest

from maim.common.errors import Invalid

# A member of a list, which may be empty, up to the comma or the end.
_MEMBER = re.compile(r'[ \t]*(?:(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|\Z)')
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


def quoted(etag: str) -> str:
    """An ETag as the header has it."""
    return f'"{etag}"'


def is_unchanged(request: HttpRequest, etag: str) -> bool:
    """Whether `If-None-Match` says that the client has this very state already."""
    return matches(request.headers.get("If-None-Match"), etag)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether an `If-None-Match` header names an ETag; a weak one counts."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or any(tag == etag for _weak, tag in _listed(if_none_match))


def expected_versions(request: HttpRequest) -> Collection[int] | None:
    """The versions that `If-Match` allows a write on; None if it allows any. Raises Invalid for what is no ETag."""
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    tags = _listed(header)
    if not tags:
        raise Invalid({"If-Match": [f"write a version as an ETag: {quoted('3')}"]})
    return {int(tag) for is_weak, tag in tags if not is_weak and _VERSION.fullmatch(tag)}


def _listed(header: str) -> list[tuple[bool, str]]:
    """The ETags of a list, each with whether it is weak; none of what is no such list."""
    found: list[tuple[bool, str]] = []
    position = 0
    while position < len(header):
        member = _MEMBER.match(header, position)
        if member is None:
            return []
        if member["tag"] is not None:
            found.append((member["weak"] is not None, member["tag"]))
        position = member.end()
    return found
