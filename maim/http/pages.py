"""Parts of a list, in the three shapes the contract knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from django.db.models import QuerySet
from rest_framework.response import Response
from rest_framework.serializers import Serializer


def page(rows: QuerySet[Any], serializer: type[Serializer[Any]], *, page: int, size: int) -> dict[str, Any]:
    """v2's page of tenants or agents."""
    total = rows.count()
    return {
        "items": serializer(rows[(page - 1) * size : page * size], many=True).data,
        "total": total,
        "page": page,
        "size": size,
        "pages": -(-total // size),
    }


def key_page(rows: QuerySet[Any], serializer: type[Serializer[Any]], *, page: int, page_size: int) -> dict[str, Any]:
    """v2's page of API keys."""
    total = rows.count()
    total_pages = -(-total // page_size)
    return {
        "items": serializer(rows[(page - 1) * page_size : page * page_size], many=True).data,
        "pagination": {
            "page": page,
            "page_size": page_size,
            "total": total,
            "total_pages": total_pages,
            "has_next": page < total_pages,
            "has_prev": page > 1,
        },
    }


class Rows(Protocol):
    """What a bare list is a slice of: a queryset, or what can be asked the same."""

    def __getitem__(self, part: slice, /) -> Iterable[Any]: ...

    def count(self) -> int:
        """How many there are in all."""


def bare_list(rows: Rows, serializer: type[Serializer[Any]], *, skip: int, limit: int) -> Response:
    """v1's bare list, its full length in `X-Total-Count`."""
    found = list(rows[skip : skip + limit + 1])
    # Where the list ends here, it need not be counted.
    ends_here = len(found) <= limit and (found or not skip)
    total = skip + len(found) if ends_here else rows.count()
    shown = serializer().to_representation
    return Response([shown(row) for row in found[:limit]], headers={"X-Total-Count": str(total)})
