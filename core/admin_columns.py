"""Columns of the admin's lists: text by people is isolated, other objects are links, a status has a colour."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import models
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy
from unfold.utils import display_for_label

from core.display import DisplayName
from core.fields import IdField

Column = Callable[[Any], Any]
C = TypeVar("C", bound=Callable[..., Any])

# The colours of labels, by the value of a status.
_COLOURS = {
    "active": "success",
    "inactive": "warning",
    "expired": "warning",
    "archived": "info",
    "disabled": "danger",
    "suspended": "danger",
    "leaked": "danger",
}


def change_url(row: models.Model) -> str:
    """Return the URL of a row's page."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[quote(row.pk)])


def column_of(model: type[models.Model], name: str) -> str | Column:
    """Return the column of a field by its name. Return the name itself where Django's own column will do."""
    field = next((field for field in model._meta.fields if name in (field.name, field.attname)), None)
    if isinstance(field, models.ForeignKey):
        return _id_column(field) if name == field.attname else _link_column(field)
    if not isinstance(field, models.CharField | models.TextField) or isinstance(field, IdField):
        return name
    if name == "status":
        return _status_column(field)
    return name if field.choices else _text_column(field)


def in_colour(column: C) -> C:
    """Decorate a column that returns a status and its name, to show the name as a label in the status's colour."""

    @wraps(column)
    def coloured(*arguments: Any) -> SafeString:
        return _label(*column(*arguments))

    return cast(C, coloured)


@lru_cache(maxsize=100)  # a list has the same few in all of its rows
def _label(status: str, name: str) -> SafeString:
    label: SafeString = display_for_label((status, name), "", _COLOURS)
    return label


def _named(name: str, column: Column) -> Column:
    column.__name__ = name
    return column


def _id_column(field: models.ForeignKey[Any, Any]) -> Column:
    """Return a column with the id of the row that a foreign key refers to."""
    title = format_lazy(gettext_lazy("{object} ID"), object=field.verbose_name)

    @admin.display(description=title, ordering=field.attname)
    def column(row: models.Model) -> Any:
        return getattr(row, field.attname)

    return _named(field.attname, column)


def _link_column(field: models.ForeignKey[Any, Any]) -> Column:
    """Return a column with the name of the row that a foreign key refers to, which leads to its page."""

    @admin.display(description=field.verbose_name, ordering=field.name)
    def column(row: models.Model) -> str | None:
        other = getattr(row, field.name)
        return None if other is None else link_to(other)

    return _named(field.name, column)


def link_to(row: models.Model) -> str:
    """Return a link to a row's page, with its name."""
    return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', change_url(row), row)


def _status_column(field: models.Field[Any, Any]) -> Column:
    @in_colour
    @admin.display(description=field.verbose_name, ordering=field.name)
    def column(row: Any) -> tuple[str, str]:
        return row.status, row.get_status_display()

    return _named(field.name, column)


def _text_column(field: models.Field[Any, Any]) -> Column:
    @admin.display(description=field.verbose_name, ordering=field.name)
    def column(row: models.Model) -> str | None:
        value = getattr(row, field.name)
        return DisplayName(value).__html__() if value else None

    return _named(field.name, column)
