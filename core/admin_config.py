"""Forms of the operators' admin for rows with a config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldBooleanWidget

from core.admin_base import OperatorAdmin, actor_of

# The name of the field that every form of a config has.
STRICT = "strict"
_MAX_WARNINGS = 20  # that a message names


class StrictField(forms.BooleanField):
    """A checkbox that turns warnings into errors. It never counts as a change."""

    widget = UnfoldBooleanWidget

    def __init__(self) -> None:
        super().__init__(
            required=False,
            label=gettext_lazy("Refuse what looks odd"),
            help_text=gettext_lazy("Otherwise it is saved, with a warning."),
        )

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


class ConfigAdmin(OperatorAdmin):
    """Forms of rows with a config, which may have warnings.

    They have a `strict` field, whose value `create` and `change` get with the others. Both return the written row
    with its `config_warnings`.
    """

    config_field = "config"

    def fields_url(self, obj: Any) -> str:
        """Return the URL of the list of the fields that the config of a row, or of a new one, may have."""
        raise NotImplementedError

    def config_fields(self, schema: str) -> Sequence[NamedTuple] | None:
        """Return the fields that a config of a schema may have, or None for a schema that there is not."""
        raise NotImplementedError

    def fields_view(self, request: HttpRequest, schema: str) -> HttpResponse:
        """Return the fields that a config may have, in the operator's language, for the script of the editor."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        fields = self.config_fields(schema)
        if fields is None:
            raise Http404
        return JsonResponse({"fields": [field._asdict() for field in fields]})

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change, **options)
        if self.config_field in form.base_fields:
            form.base_fields[self.config_field].widget.fields_url = self.fields_url(obj)
        return form

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        fields = super().get_fields(request, obj)
        return [*fields, STRICT] if obj is None or self.has_change_permission(request, obj) else fields

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            changes = {name: form.cleaned_data[name] for name in [*form.changed_data, STRICT]}
            written: Any = self.change(actor_of(request), obj, changes)
        else:
            written = self.create(actor_of(request), form.cleaned_data)
            obj.pk = written.pk
        has_new_config = self.config_field in form.changed_data
        obj.saved_warnings = written.config_warnings if has_new_config else ()

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        self._show_warnings(request, obj)
        return super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        self._show_warnings(request, obj)
        return super().response_change(request, obj)

    def _show_warnings(self, request: HttpRequest, obj: Any) -> None:
        """Show the warnings of the saved config."""
        warnings = [f"{path}: {message}" for path, message in obj.saved_warnings]
        if warnings:
            more = ["…"] if len(warnings) > _MAX_WARNINGS else []
            text = gettext("It was saved, but this looks odd: %(warnings)s")
            listed = "; ".join(warnings[:_MAX_WARNINGS] + more)
            self.message_user(request, text % {"warnings": listed}, messages.WARNING)
