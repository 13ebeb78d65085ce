"""The table of an admin list. Unlike the theme's tag, it renders the headers once and not for each row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django import template
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.utils import lookup_field
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from unfold.templatetags.unfold_list import CHECKBOX_CLASSES, LINK_CLASSES, ROW_CLASSES, result_headers
from unfold.utils import display_for_field, display_for_value

register = template.Library()

_CHECKBOX = "action_checkbox"


class _Column(NamedTuple):
    """A column of the list, and the HTML around the value in each of its cells."""

    source: Any  # of `list_display`
    start: SafeString
    end: SafeString
    is_link: bool  # to the page of the row


@register.inclusion_tag("admin/change_list_results.html")
def result_table(changelist: ChangeList) -> dict[str, Any]:
    """Show the headers and the rows of a list, in the theme's template."""
    headers = list(result_headers(changelist))  # type: ignore[no-untyped-call]  # unfold has no types
    columns = list(_columns(changelist, [header["text"] for header in headers]))
    query = add_preserved_filters({"preserved_filters": changelist.preserved_filters, "opts": changelist.opts}, "")
    return {
        "cl": changelist,
        "result_headers": headers,
        "num_sorted_fields": sum(header.get("sorted", False) for header in headers),
        "results": [[_cell(changelist, column, row, query) for column in columns] for row in changelist.result_list],
    }


def _columns(changelist: ChangeList, titles: list[Any]) -> Iterator[_Column]:
    for source, title in zip(changelist.list_display, titles, strict=True):
        name = getattr(source, "__name__", source)
        is_box, is_link = name == _CHECKBOX, source in changelist.list_display_links
        tag = "th" if is_link else "td"
        start = format_html(
            '<{} class="{}" data-label="{}">',
            tag,
            " ".join([f"field-{name}", *(CHECKBOX_CLASSES if is_box else ROW_CLASSES)]),
            gettext("Select record") if is_box else title,
        )
        yield _Column(source, start, format_html("</{}>", tag), is_link)


def _cell(changelist: ChangeList, column: _Column, row: Model, query: str) -> SafeString:
    value = _value(changelist, column.source, row)
    if column.is_link:
        key = row.serializable_value(changelist.to_field or row._meta.pk.attname)
        opener = format_html(' data-popup-opener="{}"', key) if changelist.is_popup else ""
        url = f"{changelist.url_for_result(row)}{query}"
        value = format_html('<a href="{}" class="{}"{}>{}</a>', url, " ".join(LINK_CLASSES), opener, value)
    return format_html("{}{}{}", column.start, value, column.end)


def _value(changelist: ChangeList, source: Any, row: Model) -> Any:
    """Return what a cell shows, as Django's lists show it."""
    empty = changelist.model_admin.get_empty_value_display()
    try:
        field, attribute, value = lookup_field(source, row, changelist.model_admin)
    except ObjectDoesNotExist:
        return empty
    if field is None or field.auto_created:
        return display_for_value(value, empty, getattr(attribute, "boolean", False))
    if field.many_to_one:
        return getattr(row, field.name) or empty
    return display_for_field(value, field, empty)
