"""The search of the operators' admin, in one list and over all of them.

Forms send it by POST, because people paste secrets, which belong in no URL. The list of what was found has a URL,
except for a secret: that leads to the page of its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, SEARCH_VAR
from django.db.models import Model
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext

from core.admin_columns import change_url

# The name of the button that sends the search of a list.
SEARCH = "_search"
_MAX_PER_MODEL = 5
_MAX_LENGTH = 320  # of an e-mail address, which is the longest


class Found(NamedTuple):
    """A row as the command palette shows it."""

    name: Model
    kind: str
    url: str


def find(site: AdminSite, request: HttpRequest, text: str) -> list[Found]:
    """Return the first rows of each kind that a text finds, or the one that it is the secret of."""
    term = text.strip()
    if not term or len(term) > _MAX_LENGTH:
        return []
    if admin := _admin_of_secret(site, request, term):
        rows = [admin.row_of_secret(request, term)]
    else:
        searched = [each for each in _admins(site, request) if each.palette_fields]
        rows = [row for each in searched for row in each.found_by_palette(request, term, _MAX_PER_MODEL)]
    return [Found(row, str(capfirst(row._meta.verbose_name)), change_url(row)) for row in rows if row is not None]


def searched_list_url(site: AdminSite, request: HttpRequest) -> str:
    """Return the URL of a list with what its form searches for, or of the row that this is the secret of."""
    term = request.POST.get(SEARCH_VAR, "").strip()
    if admin := _admin_of_secret(site, request, term):
        row = admin.row_of_secret(request, term)
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


def _admins(site: AdminSite, request: HttpRequest) -> Iterator[Any]:
    """Return what is registered of the models whose rows the operator may see."""
    return (admin for admin in site._registry.values() if admin.has_view_permission(request))


def _admin_of_secret(site: AdminSite, request: HttpRequest, text: str) -> Any:
    return next((admin for admin in _admins(site, request) if admin.is_secret(text)), None)
