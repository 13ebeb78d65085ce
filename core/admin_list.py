"""Lists of the operators' admin: their columns, filters, search and actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.utils import flatatt
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import is_aware
from django.utils.translation import gettext
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldBooleanWidget

from core.admin_columns import change_url, column_of
from core.admin_pages import KeysetChangeList, UncountedPaginator
from core.admin_search import SEARCH, search_page, search_rows, searched_list_url
from core.errors import DomainError

# The name of the button on a row's own page that runs an action of the list, and returns to that page.
FROM_ROW = "_from_row"
# The lookups of Django's own filters.
_LOOKUPS, _TIME_LOOKUPS = frozenset({"", "exact", "isnull"}), frozenset({"gte", "lt"})
_ACTION_BOX = UnfoldBooleanWidget({"class": "action-select"})


class ListAdmin(ModelAdmin):
    """A list that reads few more rows than it shows.

    `search_fields` are ids, which are searched whole (numbers with `__exact`), and folded columns with `__startswith`,
    of which the beginning is searched; each has an index. `palette_fields` are those that the command palette searches.
    """

    palette_fields: Sequence[str] = ()
    ordering: ClassVar[tuple[str, ...]] = ("-created_at", "-id")
    # The order of search results, if it differs from `ordering`: one that the indexes of `search_fields` have.
    search_ordering: ClassVar[tuple[str, ...]] = ()
    # Only what an index is ordered by, because all rows would have to be sorted.
    sortable_by: ClassVar[tuple[str, ...]] = ("created_at",)
    paginator = UncountedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # which would count all rows of each filter

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow only the offered filters, because with others a secret column could be guessed letter by letter.

        Raise IncorrectLookupParameters for an invalid time, and for one outside the range of UTC.
        """
        name, _separator, suffix = lookup.partition("__")
        offered = {parameter_name(entry) for entry in self.list_filter}
        if name not in offered or suffix not in _LOOKUPS | _TIME_LOOKUPS:
            return False
        times = {field.name for field in self.model._meta.fields if isinstance(field, models.DateTimeField)}
        if name in times and suffix != "isnull":
            _check_time(value)
        return super().lookup_allowed(lookup, value, request)

    def get_ordering(self, request: HttpRequest) -> Any:
        return (request.GET.get(SEARCH_VAR) and self.search_ordering) or self.ordering

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Return the rows that any of `search_fields` finds."""
        return search_page(request, queryset, self.search_fields, search_term.strip(), self.list_per_page + 1), False

    def search_for_palette(self, request: HttpRequest, term: str, limit: int) -> list[Any]:
        """Return the first rows that the command palette shows for a term."""
        return search_rows(self.get_queryset(request), self.palette_fields, term, limit)

    def looks_like_secret(self, text: str) -> bool:
        """Return whether a text looks like a secret of one of these rows, which belongs in no URL."""
        return False

    def find_by_secret(self, request: HttpRequest, secret: str) -> models.Model | None:
        """Return the row that has a secret."""
        return None

    def get_changelist(self, request: HttpRequest, **options: Any) -> Any:
        return KeysetChangeList

    def get_list_display(self, request: HttpRequest) -> Any:
        return [
            column_of(self.model, name) if isinstance(name, str) and not hasattr(self, name) else name
            for name in super().get_list_display(request)
        ]

    def action_checkbox(self, obj: models.Model) -> SafeString:
        """Return Django's checkbox, with plain text in its label instead of HTML."""
        label = gettext("Select this object for an action - {}").format(obj)
        attributes = {"name": ACTION_CHECKBOX_NAME, "value": obj.pk, "aria-label": label, **_ACTION_BOX.attrs}
        return format_html('<input type="checkbox"{}>', flatatt(attributes))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if SEARCH in request.POST:
            return HttpResponseRedirect(searched_list_url(self.admin_site, request))
        response = self._message_if_refused(request, super().changelist_view, extra_context)
        row_id = request.POST.get(ACTION_CHECKBOX_NAME)
        if FROM_ROW in request.POST and row_id and isinstance(response, HttpResponseRedirect):
            return HttpResponseRedirect(change_url(self.model(pk=row_id)))
        return response

    # Ignored, because the stubs are of a newer Django, whose method takes another argument.
    def response_action(  # type: ignore[override]
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> HttpResponse | None:
        """Run an action on the checked rows only.

        Changing all rows of a list is left to bulk operations, which show their number before and change them in
        chunks.
        """
        named = queryset.filter(pk__in=request.POST.getlist(ACTION_CHECKBOX_NAME))
        response: HttpResponse | None = super().response_action(request, named)
        return response

    def _message_if_refused(self, request: HttpRequest, view: Callable[..., HttpResponse], *args: Any) -> HttpResponse:
        """Return the view's response; if a service refuses, redirect to the page with a message."""
        try:
            return view(request, *args)
        except DomainError as error:
            self.message_user(request, str(error.detail), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


def _check_time(text: str) -> None:
    """Raise IncorrectLookupParameters for a text that is not a time, or that cannot be converted to UTC."""
    try:
        moment = models.DateTimeField().to_python(text)
        if moment is not None and is_aware(moment):  # the query takes a time without an offset as UTC
            moment.astimezone(UTC)
    except (ValidationError, OverflowError) as error:
        raise IncorrectLookupParameters from error


def parameter_name(entry: Any) -> str:
    """Return the name of the query parameter of an entry of `list_filter`, without a lookup."""
    if isinstance(entry, type):
        return str(entry.parameter_name)  # type: ignore[attr-defined]  # a SimpleListFilter
    return str(entry[0] if isinstance(entry, tuple) else entry)
