"""Forms of the operators' admin for rows with JSON columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.text import capfirst
from rest_framework import serializers
from unfold.admin import ModelAdmin

from core.admin_fields import JSONFormField, JSONObjectFormField, LinesFormField, json_object_text, pretty
from core.errors import Text
from core.fields import JSONTextField
from core.http.limit_fields import LimitField
from core.limits import LIMIT_LABELS


class JSONFieldsAdmin(ModelAdmin):
    """Forms in which the fields of `body`, the API's request serializer, validate the JSON columns."""

    body: type[serializers.Serializer[Any]]
    # The labels of the inputs for limits.
    limit_labels: ClassVar[Mapping[str, Text]] = LIMIT_LABELS

    def readable_field(self, name: str) -> str | Callable[[models.Model], str]:
        """Return a field for operators who may not change it, with JSON formatted."""
        field = next((field for field in self.opts.fields if field.name == name), None)
        if not isinstance(field, JSONTextField):
            return name

        @admin.display(description=field.verbose_name)
        def document(row: models.Model) -> str:
            value = getattr(row, name)
            if value is None:
                return self.get_empty_value_display()
            api_field = self._api_field(name)
            if isinstance(api_field, LimitField):
                return json_object_text(value, api_field, self.limit_labels)
            return format_html("<pre>{}</pre>", pretty(value))

        document.__name__ = name
        return document

    def _api_field(self, name: str) -> Any:
        """Return the API's field for a JSON column, if it has one."""
        return self.body().fields.get(name) if hasattr(self, "body") else None

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if not isinstance(db_field, JSONTextField):
            return super().formfield_for_dbfield(db_field, request, **options)
        api_field = self._api_field(db_field.name)
        shared = {
            "api_field": api_field,
            "empty": db_field.get_default,
            "label": capfirst(db_field.verbose_name),
            "help_text": options.get("help_text", db_field.help_text),
        }
        if isinstance(api_field, LimitField):
            return JSONObjectFormField(**shared, labels=self.limit_labels)
        return (LinesFormField if isinstance(api_field, serializers.ListField) else JSONFormField)(**shared)
