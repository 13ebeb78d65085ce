"""Pagination of lists, in the three shapes of the contract.

A client reads a list by pages (or slices), or by cursor. The cursor is the id of the last object read. A list read by
cursor is ordered by id. Ids never change, so whoever reads such a list to its end sees every object that exists
throughout exactly once, whatever is created and deleted meanwhile. The object that the cursor names may be gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from django.db.models import QuerySet
from rest_framework.serializers import Serializer

from core.http.serializers import shared_serializer

PARAMETERS = frozenset({"skip", "limit", "page", "size", "page_size", "after", "format"})
Cursor = str | int


class Rows(Protocol):
    """A list that is not a queryset, but can be sliced and counted like one."""

    def __getitem__(self, part: slice, /) -> Iterable[Any]: ...

    def count(self) -> int:
        """Return the number of all rows."""

    def after(self, cursor: Any, /) -> Any:
        """Return the rows with greater ids, ordered by id."""


class Slice(NamedTuple):
    """Some rows of a list. `next_after` is the next cursor, of a list that is read by cursor and goes on."""

    rows: list[Any]
    has_more: bool
    next_after: str | None


class Page(NamedTuple):
    """The data and the headers of a response with a part of a list."""

    data: Any
    headers: dict[str, str]


def slice_rows(
    rows: QuerySet[Any] | Rows, *, limit: int, skip: int = 0, after: Cursor | None = None, key: str = "id"
) -> Slice:
    """Return up to `limit` rows, in the list's own order, or after a cursor ordered by id.

    `key` names the attribute (and of a queryset also the column) that holds the id.
    """
    found = list(_ordered(rows, after, key)[skip : skip + limit + 1])
    shown, has_more = found[:limit], len(found) > limit
    next_after = str(getattr(shown[-1], key)) if has_more and after is not None else None
    return Slice(shown, has_more, next_after)


def _ordered(rows: QuerySet[Any] | Rows, after: Cursor | None, key: str) -> Any:
    if after is None:
        return rows
    if isinstance(rows, QuerySet):
        return rows.filter(**{f"{key}__gt": after}).order_by(key)
    return rows.after(after)


def numbered_page(
    rows: QuerySet[Any] | Rows,
    serializer: type[Serializer[Any]],
    *,
    page: int,
    size: int,
    after: Cursor | None = None,
    key: str = "id",
) -> Page:
    """Return v2's page of any objects but API keys."""
    total = rows.count()
    part = slice_rows(rows, skip=(page - 1) * size, limit=size, after=after, key=key)
    data = {
        "items": serializer(part.rows, many=True).data,
        "total": total,
        "page": page,
        "size": size,
        "pages": -(-total // size),
        "next_after": part.next_after,
    }
    return Page(data, {})


def key_page(
    rows: QuerySet[Any] | Rows,
    serializer: type[Serializer[Any]],
    *,
    page: int,
    page_size: int,
    after: Cursor | None = None,
) -> dict[str, Any]:
    """Return v2's page of API keys."""
    total = rows.count()
    total_pages = -(-total // page_size)
    part = slice_rows(rows, skip=(page - 1) * page_size, limit=page_size, after=after)
    shown = shared_serializer(serializer).to_representation
    return {
        "items": [shown(row) for row in part.rows],
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


def list_page(
    rows: QuerySet[Any] | Rows,
    serializer: type[Serializer[Any]],
    *,
    limit: int,
    skip: int = 0,
    after: Cursor | None = None,
    key: str = "id",
) -> Page:
    """Return v1's list: an array, with its full length in `X-Total-Count` and the next cursor in `X-Next-Cursor`.

    The cursor is percent-encoded, because not every id fits into a header.
    """
    part = slice_rows(rows, skip=skip, limit=limit, after=after, key=key)
    # Where the list ends here, it need not be counted.
    ends_here = not part.has_more and not after and (part.rows or not skip)
    total = skip + len(part.rows) if ends_here else rows.count()
    headers = {"X-Total-Count": str(total), **next_cursor_header(part)}
    shown = shared_serializer(serializer).to_representation
    return Page([shown(row) for row in part.rows], headers)


def next_cursor_header(part: Slice) -> dict[str, str]:
    """Return the header with the next cursor, if there is one."""
    return {} if part.next_after is None else {"X-Next-Cursor": quote(part.next_after, safe="")}
