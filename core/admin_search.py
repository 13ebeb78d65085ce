"""The search of the operators' admin, in one list and over all of them.

Forms send it by POST, because people paste secrets, which belong in no URL. The list of what was found has a URL,
except for a secret: that leads to the page of its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, SEARCH_VAR
from django.db.models import IntegerField, Model, QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext

from core.admin_columns import change_url
from core.admin_pages import from_page
from core.keyset import Order
from core.listing import filter_in_index, ids_of, ids_of_all, rows_in_order
from core.naming import begins_with
from core.text import fold, fold_name

# The name of the button that sends the search of a list.
SEARCH = "_search"
# Rows of a list found by the beginning of a name, in the order of names.
MAX_NAMES = 100
MAX_DIGITS = 19  # of the greatest number that a column holds
# Rows of a model in the command palette.
_MAX_PER_MODEL = 5
_MAX_LENGTH = 320  # of an e-mail address, which is the longest


def search_page(
    request: HttpRequest,
    rows: QuerySet[Any],
    fields: Sequence[str],
    term: str,
    limit: int,
    *,
    others: Iterable[tuple[str, str]] = (),
) -> QuerySet[Any]:
    """Return the rows of the requested page in which any field (`ListAdmin.search_fields`) matches the term.

    `others` are pairs of a column and a value, which match as well. Each field and pair contributes at most `limit`
    rows, because MariaDB would sort all rows of one condition with several alternatives.

    Return all rows for a POST, because an action names its rows itself.
    """
    if not term or request.method == "POST":
        return rows
    matches = [
        *(_match(rows, field, term) for field in fields),
        *(filter_in_index(rows, column, value) for column, value in others),
    ]
    order = Order.of(rows)
    pages = (ids_of(from_page(request, each, order))[:limit] for each in matches)
    return rows.filter(pk__in=set(ids_of_all(pages)))


def search_rows(rows: QuerySet[Any], fields: Sequence[str], term: str, limit: int) -> list[Any]:
    """Return at most `limit` rows in which any of the fields matches the term."""
    return rows_in_order(rows, search_ids(rows, fields, term, limit)[:limit])


def search_ids(rows: QuerySet[Any], fields: Iterable[str], term: str, limit: int) -> list[Any]:
    """Return the ids of at most `limit` rows for each field. Each field is searched in its own index."""
    return list(dict.fromkeys(ids_of_all(_search_field(rows, field, term, limit) for field in fields)))


def _search_field(rows: QuerySet[Any], field: str, term: str, limit: int) -> QuerySet[Any, Any]:
    """Return the ids of the first rows in which the field matches the term."""
    column, _separator, lookup = field.rpartition("__")
    if lookup == "startswith":
        return _ids_by_prefix(rows, column, term, limit)
    return ids_of(_match(rows.order_by("pk"), field, term))[:limit]


def _match(rows: QuerySet[Any], field: str, term: str) -> QuerySet[Any]:
    """Filter ordered rows to those whose field is the term, or to the first MAX_NAMES that begin with it."""
    column, _separator, lookup = field.rpartition("__")
    if lookup == "startswith":
        return rows.filter(pk__in=list(_ids_by_prefix(rows, column, term, MAX_NAMES)))
    column = field.removesuffix("__exact")
    if _is_number(rows, column) and not (term.isdecimal() and len(term) <= MAX_DIGITS):
        return rows.none()
    return filter_in_index(rows, column, fold(term) if column.endswith("_folded") else term)


def _ids_by_prefix(rows: QuerySet[Any], column: str, term: str, limit: int) -> QuerySet[Any, Any]:
    """Return the ids of the first rows whose folded text begins with the term, in the order of the texts."""
    prefix = fold_name(term) if column == "name_folded" else fold(term)
    return ids_of(rows.filter(begins_with(column, prefix)).order_by(column))[:limit]


def _is_number(rows: QuerySet[Any], column: str) -> bool:
    """Return whether a column of `search_fields` has numbers, which a text cannot be compared with."""
    *_relations, last = get_fields_from_path(rows.model, column)
    return isinstance(last, IntegerField)


class PaletteResult(NamedTuple):
    """A row as the command palette shows it."""

    name: Model
    kind: str
    url: str


def search_palette(site: AdminSite, request: HttpRequest, text: str) -> list[PaletteResult]:
    """Return the first rows of each kind that a text finds, or the one that it is the secret of."""
    term = text.strip()
    if not term or len(term) > _MAX_LENGTH:
        return []
    if admin := _admin_for_secret(site, request, term):
        rows = [admin.find_by_secret(request, term)]
    else:
        searched = (admin for admin in _visible_admins(site, request) if admin.palette_fields)
        rows = [row for admin in searched for row in admin.search_for_palette(request, term, _MAX_PER_MODEL)]
    return [
        PaletteResult(row, str(capfirst(row._meta.verbose_name)), change_url(row)) for row in rows if row is not None
    ]


def searched_list_url(site: AdminSite, request: HttpRequest) -> str:
    """Return the URL of a list with what its form searches for, or of the row that this is the secret of."""
    term = request.POST.get(SEARCH_VAR, "").strip()
    if admin := _admin_for_secret(site, request, term):
        row = admin.find_by_secret(request, term)
        if row is not None:
            return change_url(row)
        messages.error(request, gettext("No key or token has this secret."))
        term = ""
    query = request.GET.copy()
    for name in (PAGE_VAR, ERROR_FLAG, SEARCH_VAR):
        query.pop(name, None)
    if term:
        query[SEARCH_VAR] = term
    return f"{request.path}?{query.urlencode()}"


def _visible_admins(site: AdminSite, request: HttpRequest) -> Iterator[Any]:
    """Yield the admins of the models whose rows the operator may see."""
    return (admin for admin in site._registry.values() if admin.has_view_permission(request))


def _admin_for_secret(site: AdminSite, request: HttpRequest, text: str) -> Any:
    """Return the admin of the rows that a text looks like a secret of; None if it looks like no secret."""
    return next((admin for admin in _visible_admins(site, request) if admin.looks_like_secret(text)), None)
