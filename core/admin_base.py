"""What the pages of the operators' admin have in common.

They write through the services alone, so that every write obeys the rules and leaves its audit row.
Operators (`is_staff`) may read everything here; whoever is also a superuser may change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from operator import or_
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.widgets import AdminTextareaWidget
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from rest_framework import serializers

from core.actor import Actor, ActorKind
from core.admin_forms import SHOWN, STRICT, ChangeForm, JSONFormField, ServiceForm, pretty, stored_digest
from core.db import transactional_and_propagated
from core.display import DisplayName, isolated
from core.errors import DomainError
from core.fields import IdField, JSONTextField
from core.http.fields import DESCRIPTION_LENGTH
from core.http.request_context import RequestContext
from core.text import fold, fold_name

RAW_ID = {"class": "vTextField"}  # Django's own class is wide enough for numbers only
_REFUSAL = "maim_refusal"
_MAX_WARNINGS = 20  # that a message names


def actor_of(request: HttpRequest) -> Actor:
    """The operator who is signed in."""
    scope = RequestContext.of(request)
    return Actor(
        kind=ActorKind.OPERATOR,
        id=request.user.pk,
        label=request.user.get_username(),
        request_id=scope.request_id,
        address=scope.address,
    )


def change_url(row: models.Model) -> str:
    """The page of a row."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[quote(row.pk)])


@transactional_and_propagated
def all_or_none(rows: Iterable[Any], write: Callable[[Any], object]) -> None:
    """Does one write for each row, in one transaction."""
    for row in rows:
        write(row)


class OperatorAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Lists and forms over services: a subclass says in `create`, `change` and `delete` which.

    `add_fields` are on the form of a new row, `fields` on that of an existing one, and `body` is the
    API's request body that knows the shapes of the JSON fields. `search_fields` name folded columns and
    ids.
    """

    add_form: type[ServiceForm] = ServiceForm
    form: type[ChangeForm] = ChangeForm
    add_fields: Sequence[str] = ()
    # How fields that hold secrets are shown; no page has them as they are stored.
    masks: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    body: type[serializers.Serializer[Any]]
    formfield_overrides = {
        models.TextField: {
            "widget": AdminTextareaWidget(attrs={"rows": 3}),
            "max_length": DESCRIPTION_LENGTH,
            "empty_value": None,
        }
    }
    ordering: ClassVar[tuple[str, ...]] = ("-created_at", "-id")

    def create(self, actor: Actor, values: dict[str, Any]) -> models.Model:
        """Makes the row that the form describes."""
        raise NotImplementedError

    def change(self, actor: Actor, row: Any, changes: dict[str, Any]) -> object:
        """Makes the changes that the form holds to the row."""
        raise NotImplementedError

    def delete(self, actor: Actor, row: Any) -> None:
        """Removes the row."""
        raise NotImplementedError

    # ---- who may do what

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.admin_site.has_permission(request)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Only the filters on offer: by others a secret column could be guessed letter by letter."""
        offered = {_parameter(entry) for entry in self.list_filter}
        return lookup.partition("__")[0] in offered and super().lookup_allowed(lookup, value, request)

    # ---- what is shown

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row with its secrets masked, and digests of what it has in the place of the masked values."""
        row: Any = super().get_object(request, object_id, from_field)
        if row is not None:
            row.stored_digests = {name: stored_digest(getattr(row, name)) for name in self.masks}
            for name, mask in self.masks.items():
                setattr(row, name, mask(getattr(row, name)))
        return row

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """The rows that the term finds in either folded form: of names, or of usernames and e-mail addresses."""
        terms = dict.fromkeys((fold_name(search_term), fold(search_term)))
        found = [super(OperatorAdmin, self).get_search_results(request, queryset, term) for term in terms]
        return reduce(or_, (rows for rows, _has_duplicates in found)), any(duplicates for _rows, duplicates in found)

    def get_list_display(self, request: HttpRequest) -> Any:
        return [self._listed(name) for name in super().get_list_display(request)]

    def action_checkbox(self, obj: models.Model) -> SafeString:
        """Django's own, but with a plain text in the attribute that tells of the row."""
        label = gettext("Select this object for an action - {}").format(obj)
        box = forms.CheckboxInput({"class": "action-select", "aria-label": label}, lambda _value: False)
        return box.render(ACTION_CHECKBOX_NAME, str(obj.pk))

    def _listed(self, name: Any) -> Any:
        """Return how a column is shown in the list: what people wrote isolates itself."""
        field = next((field for field in self.opts.fields if field.name == name), None)
        if not isinstance(field, models.CharField | models.TextField) or field.choices or isinstance(field, IdField):
            return name

        @admin.display(description=field.verbose_name, ordering=name)
        def column(row: models.Model) -> str | None:
            value = getattr(row, name)
            return DisplayName(value).__html__() if value else None

        column.__name__ = name
        return column

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
        """How a field is shown to who may not change it."""
        field = next((field for field in self.opts.fields if field.name == name), None)
        if not isinstance(field, JSONTextField):
            return name

        @admin.display(description=field.verbose_name)
        def document(row: models.Model) -> str:
            value = getattr(row, name)
            return self.get_empty_value_display() if value is None else format_html("<pre>{}</pre>", pretty(value))

        document.__name__ = name
        return document

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        options.setdefault("form", self.form if change else self.add_form)
        form = super().get_form(request, obj, change, **options)
        form.refusal = getattr(request, _REFUSAL, None)  # type: ignore[attr-defined]  # a class made for this request
        return form

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if not isinstance(db_field, JSONTextField):
            return super().formfield_for_dbfield(db_field, request, **options)
        return JSONFormField(
            shape=self.body().fields[db_field.name],
            empty=db_field.get_default,
            label=capfirst(db_field.verbose_name),
            help_text=options.get("help_text", db_field.help_text),
        )

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        field: Any = super().formfield_for_foreignkey(db_field, request, **options)
        if db_field.name in self.raw_id_fields:
            field.widget.attrs.update(RAW_ID)
        return field

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What goes with the rows; records go with what they tell of, though nobody may delete them alone."""
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
        # The page without Django's own transaction: adding is one service call, which has its own, and
        # ahead of that it may hash a password. A change may be several calls, which belong together.
        page = partial(super()._changeform_view, request, object_id, form_url, extra_context)  # type: ignore[misc]
        try:
            if request.method == "POST" and object_id is not None:
                return self._with_locked_row(request, object_id, page)
            return page()
        except DomainError as error:
            # Nothing is written. The same input once more, now with the refusal, which stops it at the form.
            setattr(request, _REFUSAL, error)
            return page()

    @transactional_and_propagated
    def _with_locked_row(self, request: HttpRequest, object_id: str, page: Callable[[], Any]) -> Any:
        """Return the page, whose row nobody else changes between the form's look at it and the service's write."""
        if self.has_change_permission(request):
            alone = self.get_queryset(request).select_related(None).prefetch_related(None)
            alone.select_for_update().filter(pk=unquote(object_id)).first()
        return page()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return self._or_message(request, super().changelist_view, extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        view = super().delete_view
        return self._or_message(
            request, transactional_and_propagated(view) if request.method == "POST" else view, object_id, extra_context
        )

    def _or_message(self, request: HttpRequest, view: Callable[..., HttpResponse], *args: Any) -> HttpResponse:
        """The view's answer, or where a service refused, the page once more with a message."""
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
        all_or_none(queryset, lambda row: self.delete(actor, row))

    # ---- history: the audit log has it all, whoever wrote; Django's own would know the admin alone

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
        audit_log = reverse("admin:common_auditentry_changelist")
        return HttpResponseRedirect(f"{audit_log}?{urlencode({'q': unquote(object_id)})}")


class ConfigAdmin(OperatorAdmin):
    """Forms of rows with a config, in which something may look odd.

    Their forms have a `strict` field, whose value `create` and `change` get with the others; both return the written
    row, which has its `config_warnings`.
    """

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
        self._tell_warnings(request, obj)
        return super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        self._tell_warnings(request, obj)
        return super().response_change(request, obj)

    def _tell_warnings(self, request: HttpRequest, obj: Any) -> None:
        """Say what looks odd in the config that was saved."""
        found = [f"{path}: {message}" for path, message in obj.saved_warnings]
        if found:
            more = ["…"] if len(found) > _MAX_WARNINGS else []
            said = gettext("It was saved, but this looks odd: %(warnings)s")
            self.message_user(request, said % {"warnings": "; ".join(found[:_MAX_WARNINGS] + more)}, messages.WARNING)


class ReadOnlyAdmin(OperatorAdmin):
    """Records that nobody may add, change or delete. `search_fields` are matched as they are."""

    ordering = ("-id",)
    show_full_result_count = False

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        return super(OperatorAdmin, self).get_search_results(request, queryset, search_term)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


def _parameter(entry: Any) -> str:
    """What the query parameters of an entry of `list_filter` begin with."""
    if isinstance(entry, type):
        return str(entry.parameter_name)  # type: ignore[attr-defined]  # a SimpleListFilter
    return str(entry[0] if isinstance(entry, tuple) else entry)
