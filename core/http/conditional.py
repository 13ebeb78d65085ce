"""Conditional requests (RFC 9110 section 13): `If-None-Match` on reads, `If-Match` on writes.

ETags are compared weakly and without the suffix of a compressed response, because a proxy that compresses changes the
ETag (nginx sends `W/"1"` for `"1"`, Apache `"1-gzip"`), and the client sends back what it received. Nothing is lost: no
two states of an object share a version, and decompressed the responses are equal.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

from django.http import HttpRequest
from django.utils.http import parse_etags
from django.utils.translation import gettext_lazy as _

from core.errors import Invalid

_ETAG = re.compile(r'(?:W/)?"(?P<tag>[^"]*?)(?:(?:--?|;)(?:gzip|br|zstd|deflate))?"')
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
EVERY_VERSION = range(10**18)


def quoted(etag: str) -> str:
    """Return an ETag in quotes, as in the header."""
    return f'"{etag}"'


def version_header(version: int) -> dict[str, str]:
    """Return the ETag header of an object at this version."""
    return {"ETag": quoted(str(version))}


def revision_header(shown: Mapping[str, Any]) -> dict[str, str]:
    """Return the ETag header of a serialized object, which has its `revision`."""
    return version_header(shown["revision"])


def is_unchanged(request: HttpRequest, etag: str) -> bool:
    """Return whether `If-None-Match` names this ETag: the client has this state already."""
    return matches(request.headers.get("If-None-Match"), etag)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Return whether an `If-None-Match` header names an ETag."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _tags(if_none_match)


def expected_versions(request: HttpRequest) -> Container[int] | None:
    """Return the versions that `If-Match` allows a write on, or None without the header.

    `*` allows every version, but requires that the object exists. Raise Invalid if any part of the header is no ETag: a
    list of which only a part is read could allow a write that its sender meant to be refused.
    """
    header = request.headers.get("If-Match")
    if header is None:
        return None
    if header.strip() == "*":
        return EVERY_VERSION
    members = [member for member in header.split(",") if member.strip()]
    if not members or len(members) != len(parse_etags(header)):  # which passes over what is none
        raise Invalid({"If-Match": [_('Write the ETag of the state that the change is meant for, such as "3"')]})
    return {int(tag) for tag in _tags(header) if _VERSION.fullmatch(tag)}


def _tags(header: str) -> list[str]:
    """Return the ETags in a header, without weakness and suffix. `*` is not an ETag."""
    found = (_ETAG.fullmatch(etag) for etag in parse_etags(header))
    return [match["tag"] for match in found if match is not None]
