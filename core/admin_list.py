"""Lists of the operators' admin, which stay quick however long they are.

They have no page numbers and no totals, because either reads the whole table. A page begins after the last row of the
one before, whose sort values are in the URL; so it reads no more rows of an index than it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.paginator import Page, Paginator
from django.db.models import IntegerField, Q, QuerySet
from django.http import HttpRequest

from core.keyset import InvalidPosition, Order
from core.listing import ids_of, ids_of_all, rows_in_order
from core.naming import begins_with
from core.text import fold, fold_name

# Rows of a list found by the beginning of a name, in the order of names.
MAX_NAMES = 100


def page_ids(request: HttpRequest, rows: QuerySet[Any], number: int) -> QuerySet[Any, Any]:
    """Return the ids of so many rows from where the requested page begins. Raise IncorrectLookupParameters."""
    position = request.GET.get(PAGE_VAR)
    try:
        rows_after = rows if position is None else Order.of(rows).after(rows, position)
    except InvalidPosition as error:
        raise IncorrectLookupParameters from error
    return ids_of(rows_after)[:number]


def search_page(
    request: HttpRequest,
    rows: QuerySet[Any],
    fields: Sequence[str],
    term: str,
    number: int,
    *,
    others: Sequence[Q] = (),
) -> QuerySet[Any]:
    """Return the rows in which the term matches any of the fields (`OperatorAdmin`), or any other condition holds.

    For a page of a list these are the first rows for each field, because MariaDB would sort all of them.
    """
    if not term:
        return rows
    conditions = [*(_condition(rows, field, term) for field in fields), *others]
    if request.method == "POST":  # an action, which names its rows
        return rows.filter(reduce(or_, conditions))
    pages = (page_ids(request, rows.filter(condition), number) for condition in conditions)
    return rows.filter(pk__in=set(ids_of_all(pages)))


def search(rows: QuerySet[Any], fields: Sequence[str], term: str, number: int) -> list[Any]:
    """Return at most so many rows in which the term matches any of the fields (`OperatorAdmin`)."""
    return rows_in_order(rows, search_ids(rows, fields, term, number)[:number])


def search_ids(rows: QuerySet[Any], fields: Iterable[str], term: str, number: int) -> list[Any]:
    """Return the ids of so many rows for each of the fields, which are searched in an index of their own."""
    return list(dict.fromkeys(ids_of_all(_search_field(rows, field, term, number) for field in fields)))


def _search_field(rows: QuerySet[Any], field: str, term: str, number: int) -> QuerySet[Any, Any]:
    """Return the ids of the first rows in which the term matches the field."""
    column, _separator, lookup = field.rpartition("__")
    if lookup == "startswith":
        return _ids_by_prefix(rows, column, term, number)
    return ids_of(rows.filter(_condition(rows, field, term)).order_by())[:number]


def _condition(rows: QuerySet[Any], field: str, term: str) -> Q:
    """Return the condition for the rows whose field is the term, or for the first MAX_NAMES that begin with it."""
    column, _separator, lookup = field.rpartition("__")
    if lookup == "startswith":
        return Q(pk__in=list(_ids_by_prefix(rows, column, term, MAX_NAMES)))
    if _is_number(rows, field) and not term.isdecimal():
        return Q(pk__in=[])
    return Q(**{field: fold(term) if field.endswith("_folded") else term})


def _ids_by_prefix(rows: QuerySet[Any], column: str, term: str, number: int) -> QuerySet[Any, Any]:
    """Return the ids of the first rows whose folded text begins with the term, in the order of the texts."""
    prefix = fold_name(term) if column == "name_folded" else fold(term)
    return ids_of(rows.filter(begins_with(column, prefix)).order_by(column))[:number]


def _is_number(rows: QuerySet[Any], field: str) -> bool:
    """Return whether a field of `search_fields` is a column of numbers, which a text cannot be compared with."""
    *_relations, last = get_fields_from_path(rows.model, field.removesuffix("__exact"))
    return isinstance(last, IntegerField)


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
        ids = list(page_ids(request, self.queryset, self.list_per_page + 1))
        self.result_list = rows_in_order(self.get_rows(), ids[: self.list_per_page])
        order = Order.of(self.queryset)
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
        """A number of rows that nobody pages through."""
        return self.per_page * 1000

    def page(self, number: int | str) -> UncountedPage:
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        found = list(self.object_list[first : first + self.per_page + 1])
        page = UncountedPage(found[: self.per_page], number, self)
        page.has_more = len(found) > self.per_page
        return page
