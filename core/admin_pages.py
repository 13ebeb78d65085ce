"""Pages of the lists in the operators' admin, which stay quick however long the lists are.

They have no page numbers and no totals, because either reads the whole table. A page begins after the last row of the
one before, whose sort values are in the URL; so it reads no more rows of an index than it shows.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from core.keyset import InvalidPosition, Order
from core.listing import ids_of, rows_in_order


def from_page(request: HttpRequest, rows: QuerySet[Any], order: Order) -> QuerySet[Any]:
    """Return the rows of the requested page and of those after it. Raise IncorrectLookupParameters."""
    position = request.GET.get(PAGE_VAR)
    try:
        return rows if position is None else order.after(rows, position)
    except InvalidPosition as error:
        raise IncorrectLookupParameters from error


class KeysetChangeList(ChangeList):
    """A list whose pages follow on each other, with a link to the next and to the first."""

    next_position: str | None = None

    def get_ordering_field(self, field_name: Any) -> Any:
        """Return the column to sort by for a column of the list, if the list can be sorted by it."""
        return super().get_ordering_field(field_name) if field_name in (self.sortable_by or ()) else None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Return the admin's order, or its reverse: the column that the list can be sorted by is its first."""
        default: list[Any] = list(self.model_admin.get_ordering(request))
        chosen: Any = super().get_ordering(request, queryset)[0]
        if chosen.startswith("-") == default[0].startswith("-"):
            return default
        return [term.removeprefix("-") if term.startswith("-") else f"-{term}" for term in default]

    def get_rows(self) -> QuerySet[Any]:
        """Return the queryset that the rows of a page are read from, by their ids."""
        rows: QuerySet[Any] = self.root_queryset
        return rows if rows.query.select_related else self.apply_select_related(rows)

    def get_results(self, request: HttpRequest) -> None:
        order = Order.of(self.queryset)
        ids = list(ids_of(from_page(request, self.queryset, order))[: self.list_per_page + 1])
        self.result_list = rows_in_order(self.get_rows(), ids[: self.list_per_page])
        if len(ids) > self.list_per_page and self.result_list:
            self.next_position = order.position(self.result_list[-1])
        self.result_count = len(self.result_list)
        self.full_result_count = self.result_count  # so that the page tells of no other number
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.paginator = Paginator(self.result_list, self.list_per_page)
        self.is_first_page = PAGE_VAR not in request.GET

    @property
    def first_page_query(self) -> str:
        return self.get_query_string(remove=[PAGE_VAR])

    @property
    def next_page_query(self) -> str:
        return self.get_query_string({PAGE_VAR: self.next_position})


class UncountedPage(Page):  # type: ignore[type-arg]  # generic in the stubs only
    """A page that was read with one row more, if there is one."""

    has_more = False

    def has_next(self) -> bool:
        return self.has_more


class UncountedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    """A paginator for the choices of a form, which does not count the rows."""

    @property
    def count(self) -> int:
        """A constant larger than anybody pages through, in place of a count of the rows."""
        return self.per_page * 1000

    def page(self, number: int | str) -> UncountedPage:
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        found = list(self.object_list[first : first + self.per_page + 1])
        page = UncountedPage(found[: self.per_page], number, self)
        page.has_more = len(found) > self.per_page
        return page
