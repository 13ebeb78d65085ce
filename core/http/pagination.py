"""Parts of a list, in the three shapes the contract knows.

A part is a page, or what follows a cursor: the id of the last object that was read. With a cursor a list comes in the
order of ids, which never change, so that whoever reads it all meets every object that exists throughout, once,
whatever is created and deleted meanwhile; the object that the cursor names may be gone, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from django.db.models import QuerySet
from rest_framework.response import Response
from rest_framework.serializers import Serializer

Cursor = str | int


class Rows(Protocol):
    """A list that is no queryset, but can be asked the same."""

    def __getitem__(self, part: slice, /) -> Iterable[Any]: ...

    def count(self) -> int:
        """Return how many there are in all."""

    def after(self, cursor: Any, /) -> Any:
        """Return the rows after the one with this id, in the order of ids."""


class Part(NamedTuple):
    """Some rows of a list, whether there are more, and the cursor of those where it was read with one."""

    rows: list[Any]
    has_more: bool
    next_after: str | None


def part_of(
    rows: QuerySet[Any] | Rows, *, limit: int, skip: int = 0, after: Cursor | None = None, key: str = "id"
) -> Part:
    """Return up to `limit` rows: after `skip` others in the list's own order, or after a cursor in that of ids.

    `key` names the attribute that is the id, and of a queryset also the column.
    """
    found = list(_ordered(rows, after, key)[skip : skip + limit + 1])
    shown, has_more = found[:limit], len(found) > limit
    next_after = str(getattr(shown[-1], key)) if has_more and after is not None else None
    return Part(shown, has_more, next_after)


def _ordered(rows: QuerySet[Any] | Rows, after: Cursor | None, key: str) -> Any:
    if after is None:
        return rows
    if isinstance(rows, QuerySet):
        return rows.filter(**{f"{key}__gt": after}).order_by(key)
    return rows.after(after)


def page(
    rows: QuerySet[Any],
    serializer: type[Serializer[Any]],
    *,
    page: int,
    size: int,
    after: Cursor | None = None,
    key: str = "id",
) -> dict[str, Any]:
    """v2's page of tenants, agents, templates or versions."""
    total = rows.count()
    part = part_of(rows, skip=(page - 1) * size, limit=size, after=after, key=key)
    return {
        "items": serializer(part.rows, many=True).data,
        "total": total,
        "page": page,
        "size": size,
        "pages": -(-total // size),
        "next_after": part.next_after,
    }


def key_page(
    rows: QuerySet[Any], serializer: type[Serializer[Any]], *, page: int, page_size: int, after: Cursor | None = None
) -> dict[str, Any]:
    """v2's page of API keys."""
    total = rows.count()
    total_pages = -(-total // page_size)
    part = part_of(rows, skip=(page - 1) * page_size, limit=page_size, after=after)
    return {
        "items": serializer(part.rows, many=True).data,
        "pagination": {
            "page": page,
            "page_size": page_size,
            "total": total,
            "total_pages": total_pages,
            "has_next": page < total_pages if after is None else part.next_after is not None,
            "has_prev": page > 1 or bool(after),
            "next_after": part.next_after,
        },
    }


def bare_list(
    rows: QuerySet[Any] | Rows,
    serializer: type[Serializer[Any]],
    *,
    limit: int,
    skip: int = 0,
    after: Cursor | None = None,
    key: str = "id",
) -> Response:
    """v1's bare list, its full length in `X-Total-Count`, and the cursor of what follows in `X-Next-Cursor`.

    A header has no place for every id, so that the cursor is percent-encoded as a URL has it.
    """
    part = part_of(rows, skip=skip, limit=limit, after=after, key=key)
    # Where the list ends here, it need not be counted.
    ends_here = not part.has_more and not after and (part.rows or not skip)
    total = skip + len(part.rows) if ends_here else rows.count()
    headers = {"X-Total-Count": str(total)}
    if part.next_after is not None:
        headers["X-Next-Cursor"] = quote(part.next_after, safe="")
    shown = serializer().to_representation
    return Response([shown(row) for row in part.rows], headers=headers)
