"""Lists of the operators' admin, which stay quick however long they are.

They have no page numbers and no totals, because either reads the whole table. A page begins after the last row of the
one before, whose sort values are in the URL; so it reads no more rows of an index than it shows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

# Rows found by the beginning of a name, in the order of names.
MAX_NAMES = 100


class Order(NamedTuple):
    """The order of a list: by one column, and by id where that is the same."""

    column: str
    is_descending: bool

    @staticmethod
    def of(rows: QuerySet[Any]) -> Order:
        """Return the order of a queryset, which begins with the name of a column."""
        first = str((*rows.query.order_by, "pk")[0])
        return Order(first.removeprefix("-"), first.startswith("-"))

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,) if self.column in ("id", "pk") else (self.column, "id")

    @property
    def terms(self) -> list[str]:
        """The arguments of `order_by`."""
        return [f"{'-' if self.is_descending else ''}{column}" for column in self.columns]

    def position(self, row: Model) -> str:
        """Return the position of a row, for a URL."""
        return json.dumps([row.serializable_value(column) for column in self.columns], default=str)

    def after(self, rows: QuerySet[Any], position: str) -> QuerySet[Any]:
        """Return the rows after a position. Raise IncorrectLookupParameters for a text that is none."""
        values = _parse(rows, self.columns, position)
        than = "lt" if self.is_descending else "gt"
        further = Q(**{f"{self.columns[0]}__{than}": values[0]})
        if len(values) > 1:
            further |= Q(**{self.column: values[0], f"id__{than}": values[1]})
        return rows.filter(further)


def _parse(rows: QuerySet[Any], columns: Sequence[str], position: str) -> list[Any]:
    try:
        values = json.loads(position)
        if not isinstance(values, list) or len(values) != len(columns) or None in values:
            raise IncorrectLookupParameters
        fields = [rows.model._meta.pk if column == "pk" else rows.model._meta.get_field(column) for column in columns]
        return [field.to_python(value) for field, value in zip(fields, values, strict=True)]
    except (ValueError, ValidationError, RecursionError) as error:
        raise IncorrectLookupParameters from error


def first_ids(request: HttpRequest, rows: QuerySet[Any], number: int) -> list[Any]:
    """Return the ids of the first rows of the page that the request asks for."""
    position, order = request.GET.get(PAGE_VAR), Order.of(rows)
    part = rows if position is None else order.after(rows, position)
    # Ids alone, because MariaDB might begin with a table that the whole rows are joined with, and sort them all.
    ids = part.select_related(None).prefetch_related(None).order_by(*order.terms).values_list("pk", flat=True)
    return list(ids[:number])


def name_prefix(rows: QuerySet[Any], column: str, prefix: str) -> Q:
    """Return the condition for the first MAX_NAMES rows whose folded name begins with this."""
    # A range, because Django's `startswith` compares in another collation and so uses no index.
    found = rows.filter(**{f"{column}__gte": prefix, f"{column}__lt": f"{prefix}\U0010ffff"})
    return Q(
        pk__in=list(
            found.select_related(None).prefetch_related(None).order_by(column).values_list("pk", flat=True)[:MAX_NAMES]
        )
    )


class KeysetChangeList(ChangeList):
    """A list whose pages follow on each other, with a link to the next and to the first."""

    next_position: str | None = None

    def get_ordering_field(self, field_name: Any) -> Any:
        """Return the column to sort by for a column of the list, if the list can be sorted by it."""
        return super().get_ordering_field(field_name) if field_name in self.sortable_by else None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
        return Order.of(queryset.order_by(*super().get_ordering(request, queryset))).terms

    def get_results(self, request: HttpRequest) -> None:
        ids = first_ids(request, self.queryset, self.list_per_page + 1)
        order = Order.of(self.queryset)
        rows = self.root_queryset.filter(pk__in=ids[: self.list_per_page])
        if not rows.query.select_related:
            rows = self.apply_select_related(rows)
        self.result_list = list(rows.order_by(*order.terms))
        if len(ids) > self.list_per_page and self.result_list:
            self.next_position = order.position(self.result_list[-1])
        self.result_count = len(self.result_list)
        self.full_result_count = None
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


class UncountedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    """A paginator for the choices of a form, which counts no rows but the next page's first."""

    @property
    def count(self) -> int:
        """The number of rows, as far as anybody pages."""
        return self.per_page * 1000

    def page(self, number: Any) -> Any:
        """Return a page, which has a next one unless it is short of rows."""
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        found = list(self.object_list[first : first + self.per_page + 1])
        page = self._get_page(found[: self.per_page], number, self)
        page.has_next = lambda: len(found) > self.per_page
        return page
