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

from django.contrib.admin import helpers
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst
from unfold.forms import AdminForm, Fieldline
from unfold.widgets import UnfoldAdminTextareaWidget

from core.actor import Actor, ActorKind
from core.admin_columns import change_url, link_to
from core.admin_concurrency import SHOWN_VALUES, stored_digest
from core.admin_deletion import check_typed_number, deletion_of
from core.admin_forms import ChangeForm, ServiceForm
from core.admin_json import JSONFieldsAdmin
from core.admin_list import ListAdmin
from core.changes import change_all
from core.db import transactional_and_propagated
from core.display import isolated
from core.errors import DomainError
from core.http.fields import DESCRIPTION_LENGTH
from core.http.request_context import RequestContext

# The attribute of a request with the error that its form shows.
_SERVICE_ERROR = "maim_service_error"
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


class OperatorAdmin(ListAdmin, JSONFieldsAdmin):
    """Lists and forms over services, which a subclass calls in `create`, `change` and `delete`.

    `add_fields` are on the form of a new row, `fields` on that of an existing one.
    """

    add_form: type[ServiceForm] = ServiceForm
    form: type[ChangeForm] = ChangeForm
    add_fields: Sequence[str] = ()
    # Functions that mask fields with secrets; no page shows the stored values.
    masks: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    formfield_overrides = {  # type: ignore[misc, assignment]  # unfold takes less than Django
        models.TextField: {
            "widget": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            "max_length": DESCRIPTION_LENGTH,
            "empty_value": None,
        }
    }

    def create(self, actor: Actor, values: dict[str, Any]) -> models.Model:
        """Create the row from the form's values."""
        raise NotImplementedError

    def change(self, actor: Actor, row: Any, changes: dict[str, Any]) -> object:
        """Apply the form's changes to the row."""
        raise NotImplementedError

    def delete(self, actor: Actor, row: Any) -> None:
        """Delete the row."""
        raise NotImplementedError

    # ---- what is shown

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row with its secrets masked, and with digests of the masked values."""
        row: Any = super().get_object(request, object_id, from_field)
        if row is not None:
            row.stored_digests = {name: stored_digest(getattr(row, name)) for name in self.masks}
            for name, mask in self.masks.items():
                setattr(row, name, mask(getattr(row, name)))
        return row

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        if obj is None:
            return self.add_fields
        fields: Sequence[str] = self.fields or ()  # type: ignore[assignment]  # ours are flat
        if self.has_change_permission(request, obj):
            return [*fields, SHOWN_VALUES]
        return [self.readable_field(name) for name in fields]

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        return () if obj is None else self.readonly_fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        options.setdefault("form", self.form if change else self.add_form)
        form = super().get_form(request, obj, change, **options)
        form.service_error = getattr(request, _SERVICE_ERROR, None)  # type: ignore[attr-defined]  # the class is made for this request
        return form

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return the rows to delete, and counts of what goes with them or is affected.

        Allow the deletion of records, which nobody may delete alone.
        """
        deletion = deletion_of(self.model)
        if deletion is not None:
            impact = deletion.impact([row.pk for row in objs])
            to_type = impact.objects if impact.is_large else None
            request.number_to_type = to_type  # type: ignore[attr-defined]  # ours, for the template
            return list(map(_named_link, objs)), impact.counts, set(), list(map(_named_link, impact.protected))
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
        # The classes are unfold's, for its templates, and it sets them in the method that is skipped.
        helpers.AdminForm, helpers.Fieldline = AdminForm, Fieldline  # type: ignore[misc]  # classes of another module
        page = partial(super()._changeform_view, request, object_id, form_url, extra_context)  # type: ignore[misc]  # not in the stubs
        try:
            if request.method == "POST" and object_id is not None:
                return self._with_locked_row(request, object_id, page)
            return page()
        except DomainError as error:
            # Nothing is written. Run the form again with the error, so that it is shown there.
            setattr(request, _SERVICE_ERROR, error)
            return page()

    @transactional_and_propagated
    def _with_locked_row(self, request: HttpRequest, object_id: str, page: Callable[[], Any]) -> Any:
        """Return the page with its row locked, so that nobody changes it between the form and the service."""
        if self.has_change_permission(request):
            alone = self.get_queryset(request).select_related(None).prefetch_related(None)
            alone.select_for_update().filter(pk=unquote(object_id)).first()
        return page()

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        view = transactional_and_propagated(self._delete) if request.method == "POST" else super().delete_view
        return self._message_if_refused(request, view, object_id, extra_context)

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
        return deletion.start(actor_of(request), ids, impact.objects) if impact.is_large else None

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


def _named_link(row: models.Model) -> str:
    return format_html("{}: {}", capfirst(row._meta.verbose_name), link_to(row))
