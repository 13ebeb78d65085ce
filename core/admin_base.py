"""Base classes of the operators' admin.

Its pages write through services only, so that every write obeys the rules and leaves its audit entry. Each page and
action asks for a permission, which operators have by their role (accounts.operator_roles).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.forms.utils import flatatt
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from rest_framework import serializers
from unfold.admin import ModelAdmin
from unfold.forms import AdminForm, Fieldline
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanWidget

from core.actor import Actor, ActorKind
from core.admin_columns import change_url, column_of, link_to
from core.admin_deletion import check_typed_number, deletion_of
from core.admin_fields import JSONFormField, JSONObjectFormField, LinesFormField, json_object_text, pretty
from core.admin_forms import SHOWN, STRICT, ChangeForm, ServiceForm, stored_digest
from core.admin_list import KeysetChangeList, UncountedPaginator, search, search_page
from core.admin_search import SEARCH, searched_list_url
from core.changes import change_all
from core.db import transactional_and_propagated
from core.display import isolated
from core.errors import DomainError, Text
from core.fields import JSONTextField
from core.http.fields import DESCRIPTION_LENGTH
from core.http.limit_fields import LimitField
from core.http.request_context import RequestContext
from core.limits import LIMIT_LABELS

_REFUSAL = "maim_refusal"
# The lookups of Django's own filters.
_LOOKUPS, _TIME_LOOKUPS = frozenset({"", "exact", "isnull"}), frozenset({"gte", "lt"})
_MAX_WARNINGS = 20  # that a message names
_ACTION_BOX = UnfoldBooleanWidget({"class": "action-select"})


# The key of an admin's session under which its sign-in stands, in seconds since 1970.
SIGNED_IN_AT = "signed_in_at"


def actor_of(request: HttpRequest) -> Actor:
    """Return the signed-in operator as an actor."""
    scope = RequestContext.of(request)
    signed_in_at: float | None = request.session.get(SIGNED_IN_AT)
    return Actor(
        kind=ActorKind.OPERATOR,
        id=request.user.pk,
        label=request.user.get_username(),
        request_id=scope.request_id,
        address=scope.address,
        signed_in_at=None if signed_in_at is None else datetime.fromtimestamp(signed_in_at, UTC),
    )


class OperatorAdmin(ModelAdmin):
    """Lists and forms over services, which a subclass calls in `create`, `change` and `delete`.

    `add_fields` are on the form of a new row, `fields` on that of an existing one. `body` is the API's request
    serializer, whose fields validate the JSON fields. `search_fields` are ids, which are searched whole (numbers with
    `__exact`), and folded columns with `__startswith`, of which the beginning is searched; each has an index.
    `palette_fields` are those that the command palette searches.
    """

    add_form: type[ServiceForm] = ServiceForm
    form: type[ChangeForm] = ChangeForm
    add_fields: Sequence[str] = ()
    palette_fields: Sequence[str] = ()
    # Functions that mask fields with secrets; no page shows the stored values.
    masks: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    body: type[serializers.Serializer[Any]]
    # The labels of the inputs for limits.
    limit_labels: ClassVar[Mapping[str, Text]] = LIMIT_LABELS
    formfield_overrides = {  # type: ignore[misc, assignment]  # unfold takes less than Django
        models.TextField: {
            "widget": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            "max_length": DESCRIPTION_LENGTH,
            "empty_value": None,
        }
    }
    ordering: ClassVar[tuple[str, ...]] = ("-created_at", "-id")
    # Only what an index is ordered by, because all rows would have to be sorted.
    sortable_by: ClassVar[tuple[str, ...]] = ("created_at",)
    paginator = UncountedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # which would count all rows of each filter

    def create(self, actor: Actor, values: dict[str, Any]) -> models.Model:
        """Create the row from the form's values."""
        raise NotImplementedError

    def change(self, actor: Actor, row: Any, changes: dict[str, Any]) -> object:
        """Apply the form's changes to the row."""
        raise NotImplementedError

    def delete(self, actor: Actor, row: Any) -> None:
        """Delete the row."""
        raise NotImplementedError

    # ---- who may do what

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow only the offered filters, because with others a secret column could be guessed letter by letter.

        Raise IncorrectLookupParameters for a time that is none, or that no database has.
        """
        name, _separator, kind = lookup.partition("__")
        if kind in _TIME_LOOKUPS:
            _check_time(value)
        offered = {_parameter(entry) for entry in self.list_filter}
        is_offered = name in offered and kind in _LOOKUPS | _TIME_LOOKUPS
        return is_offered and super().lookup_allowed(lookup, value, request)

    # ---- what is shown

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row with its secrets masked, and with digests of the masked values."""
        row: Any = super().get_object(request, object_id, from_field)
        if row is not None:
            row.stored_digests = {name: stored_digest(getattr(row, name)) for name in self.masks}
            for name, mask in self.masks.items():
                setattr(row, name, mask(getattr(row, name)))
        return row

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Return the rows that any of `search_fields` finds."""
        return search_page(request, queryset, self.search_fields, search_term.strip(), self.list_per_page + 1), False

    def found_by_palette(self, request: HttpRequest, term: str, number: int) -> list[Any]:
        """Return the first rows that the command palette shows for a term."""
        return search(self.get_queryset(request), self.palette_fields, term, number)

    def is_secret(self, text: str) -> bool:
        """Return whether a text looks like a secret of one of these rows, which belongs in no URL."""
        return False

    def row_of_secret(self, request: HttpRequest, secret: str) -> models.Model | None:
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

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        if obj is None:
            return self.add_fields
        fields: Sequence[str] = self.fields or ()  # type: ignore[assignment]  # ours are flat
        if self.has_change_permission(request, obj):
            return [*fields, SHOWN]
        return [self._readable(name) for name in fields]

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        return () if obj is None else self.readonly_fields

    def _readable(self, name: str) -> str | Callable[[models.Model], str]:
        """Return a field for operators who may not change it, with JSON formatted."""
        field = next((field for field in self.opts.fields if field.name == name), None)
        if not isinstance(field, JSONTextField):
            return name

        @admin.display(description=field.verbose_name)
        def document(row: models.Model) -> str:
            value = getattr(row, name)
            if value is None:
                return self.get_empty_value_display()
            shape = self._shape_of(name)
            if isinstance(shape, LimitField):
                return json_object_text(value, shape, self.limit_labels)
            return format_html("<pre>{}</pre>", pretty(value))

        document.__name__ = name
        return document

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        options.setdefault("form", self.form if change else self.add_form)
        form = super().get_form(request, obj, change, **options)
        form.refusal = getattr(request, _REFUSAL, None)  # type: ignore[attr-defined]  # the class is made for this request
        return form

    def _shape_of(self, name: str) -> Any:
        """Return the API's field for a JSON column, if it has one."""
        return self.body().fields.get(name) if hasattr(self, "body") else None

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if not isinstance(db_field, JSONTextField):
            return super().formfield_for_dbfield(db_field, request, **options)
        shape = self._shape_of(db_field.name)
        shared = {
            "shape": shape,
            "empty": db_field.get_default,
            "label": capfirst(db_field.verbose_name),
            "help_text": options.get("help_text", db_field.help_text),
        }
        if isinstance(shape, LimitField):
            return JSONObjectFormField(**shared, labels=self.limit_labels)
        return (LinesFormField if isinstance(shape, serializers.ListField) else JSONFormField)(**shared)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return the rows to delete, and counts of what goes with them or is affected.

        Allow the deletion of records, which nobody may delete alone.
        """
        deletion = deletion_of(self.model)
        if deletion is not None:
            impact = deletion.impact([row.pk for row in objs])
            to_type = impact.objects if impact.is_large else None
            request.number_to_type = to_type  # type: ignore[attr-defined]  # ours, for the template
            kind = capfirst(self.opts.verbose_name)
            return [format_html("{}: {}", kind, link_to(row)) for row in objs], impact.counts, set(), []
        to_delete, counts, _forbidden, protected = super().get_deleted_objects(objs, request)
        return to_delete, counts, set(), protected

    # ---- what is written

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        # Skip unfold's and Django's methods, because Django's begins a transaction: adding is one service call with a
        # transaction of its own, before which it may hash a password. A change may be several calls, which share one.
        # As unfold does, for its templates.
        helpers.AdminForm, helpers.Fieldline = AdminForm, Fieldline  # type: ignore[misc]  # classes of another module
        page = partial(super()._changeform_view, request, object_id, form_url, extra_context)  # type: ignore[misc]  # not in the stubs
        try:
            if request.method == "POST" and object_id is not None:
                return self._with_locked_row(request, object_id, page)
            return page()
        except DomainError as error:
            # Nothing is written. Run the form again with the error, so that it is shown there.
            setattr(request, _REFUSAL, error)
            return page()

    @transactional_and_propagated
    def _with_locked_row(self, request: HttpRequest, object_id: str, page: Callable[[], Any]) -> Any:
        """Return the page with its row locked, so that nobody changes it between the form and the service."""
        if self.has_change_permission(request):
            alone = self.get_queryset(request).select_related(None).prefetch_related(None)
            alone.select_for_update().filter(pk=unquote(object_id)).first()
        return page()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if SEARCH in request.POST:
            return HttpResponseRedirect(searched_list_url(self.admin_site, request))
        return self._or_error_message(request, super().changelist_view, extra_context)

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

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        view = transactional_and_propagated(self._delete) if request.method == "POST" else super().delete_view
        return self._or_error_message(request, view, object_id, extra_context)

    def _delete(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None) -> HttpResponse:
        """Delete the row, or start the bulk operation that does."""
        row = self.get_object(request, unquote(object_id))
        if row is not None and self.has_delete_permission(request, row):
            started = self.start_deletion(request, [row])
            if started is not None:
                return HttpResponseRedirect(change_url(started))
        return super().delete_view(request, object_id, extra_context)

    def start_deletion(self, request: HttpRequest, rows: Iterable[Any]) -> models.Model | None:
        """Start the bulk operation that deletes many rows, and return it; None if they are deleted at once.

        Raise Invalid if their number has to be typed, and another one was.
        """
        deletion = deletion_of(self.model)
        if deletion is None:
            return None
        ids = [row.pk for row in rows]
        impact = deletion.impact(ids)
        check_typed_number(request, impact)
        return deletion.start(actor_of(request), ids) if impact.is_large else None

    def _or_error_message(self, request: HttpRequest, view: Callable[..., HttpResponse], *args: Any) -> HttpResponse:
        """Return the view's response; if a service refuses, redirect to the page with a message."""
        try:
            return view(request, *args)
        except DomainError as error:
            self.message_user(request, str(error.detail), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            changes = {name: form.cleaned_data[name] for name in form.changed_data}
            self.change(actor_of(request), obj, changes)
        else:
            obj.pk = self.create(actor_of(request), form.cleaned_data).pk

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        return super().response_delete(request, isolated(obj_display), obj_id)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.delete(actor_of(request), obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        actor = actor_of(request)
        change_all(queryset, lambda row: self.delete(actor, row))

    # ---- history: the audit log has the changes by everybody, and Django's own log only those by the admin

    def construct_change_message(self, *args: Any, **options: Any) -> Any:
        return ""

    def log_addition(self, *args: Any) -> Any:
        pass

    def log_change(self, *args: Any) -> Any:
        pass

    def log_deletions(self, *args: Any) -> Any:
        pass

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        audit_log = reverse("admin:common_auditentry_changelist")
        return HttpResponseRedirect(f"{audit_log}?{urlencode({'q': unquote(object_id)})}")


class ConfigAdmin(OperatorAdmin):
    """Forms of rows with a config, which may have warnings.

    They have a `strict` field, whose value `create` and `change` get with the others. Both return the written row
    with its `config_warnings`.
    """

    def fields_url(self, obj: Any) -> str | None:
        """Return the URL of the list of the fields that the config of a row, or of a new one, may have."""
        return None

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change, **options)
        if "config" in form.base_fields:
            form.base_fields["config"].widget.fields_url = self.fields_url(obj)
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
        is_new = {"config", "tenant_config"}.intersection(form.changed_data)
        obj.saved_warnings = written.config_warnings if is_new else ()

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        self._show_warnings(request, obj)
        return super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        self._show_warnings(request, obj)
        return super().response_change(request, obj)

    def _show_warnings(self, request: HttpRequest, obj: Any) -> None:
        """Show the warnings of the saved config."""
        found = [f"{path}: {message}" for path, message in obj.saved_warnings]
        if found:
            more = ["…"] if len(found) > _MAX_WARNINGS else []
            said = gettext("It was saved, but this looks odd: %(warnings)s")
            self.message_user(request, said % {"warnings": "; ".join(found[:_MAX_WARNINGS] + more)}, messages.WARNING)


class ReadOnlyAdmin(OperatorAdmin):
    """Records that nobody may add, change or delete."""

    ordering: ClassVar[tuple[str, ...]] = ("-id",)
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


def _check_time(text: str) -> None:
    try:
        moment = models.DateTimeField().to_python(text)
        if moment is not None:
            moment.astimezone(UTC)
    except (ValidationError, OverflowError) as error:
        raise IncorrectLookupParameters from error


def _parameter(entry: Any) -> str:
    """Return the beginning of the query parameters of an entry of `list_filter`."""
    if isinstance(entry, type):
        return str(entry.parameter_name)  # type: ignore[attr-defined]  # a SimpleListFilter
    return str(entry[0] if isinstance(entry, tuple) else entry)
