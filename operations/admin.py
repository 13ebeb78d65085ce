"""Bulk operations in the operators' admin: starting them after a preview, their progress and their report."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from core.admin_base import ReadOnlyAdmin, actor_of
from core.admin_columns import change_url
from core.admin_forms import show_error
from core.admin_pages import KeysetChangeList
from core.errors import DomainError
from operations import services
from operations.access import OperationNotFound, get_operation, kinds_for
from operations.models import BulkOperation, Kind
from operations.preview import Preview, preview_selection
from operations.selections import Selection

# Outcomes that the page shows; `manage.py operations show` has all.
SHOWN_OUTCOMES = 500


class TypedNumberField(forms.IntegerField):
    """A number that somebody types to confirm it. Other texts are None, which the service refuses as a wrong number."""

    def to_python(self, value: Any) -> int | None:
        try:
            return super().to_python(value)
        except forms.ValidationError:
            return None


class StartForm(forms.Form):
    """The selection of the objects of a new operation, and their number once that was shown."""

    kind = forms.ChoiceField(label=capfirst(_("operation")), choices=Kind.choices, widget=UnfoldAdminSelectWidget)
    ids = forms.CharField(
        label=_("IDs"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_("One on each line."),
    )
    tenant_id = forms.CharField(
        label=_("All of the tenant (ID)"), required=False, max_length=50, widget=UnfoldAdminTextInputWidget
    )
    agent_id = forms.CharField(
        label=_("All keys of the agent (ID)"), required=False, max_length=50, widget=UnfoldAdminTextInputWidget
    )
    status = forms.CharField(
        label=_("Only with the status"), required=False, max_length=20, widget=UnfoldAdminTextInputWidget
    )
    number = TypedNumberField(label=_("Number of objects"), required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, kinds: Collection[Kind], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["kind"].choices = [choice for choice in Kind.choices if choice[0] in kinds]  # type: ignore[attr-defined]  # it is a choice field

    @property
    def selection(self) -> Selection:
        """The selection of a valid form."""
        data = self.cleaned_data
        return Selection(
            kind=Kind(data["kind"]),
            ids=tuple(filter(None, map(str.strip, data["ids"].splitlines()))),
            tenant_id=data["tenant_id"],
            agent_id=data["agent_id"],
            status=data["status"],
        )


class FailureFilter(admin.SimpleListFilter):
    """A filter for the operations that the sidebar counts as failed."""

    title = _("failed")
    parameter_name = "failed_within_days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        days = services.NOTICED_FOR.days
        return [(str(days), _("within %(days)d days") % {"days": days})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BulkOperation]) -> QuerySet[BulkOperation]:
        return services.lately_failed(queryset) if self.value() == str(services.NOTICED_FOR.days) else queryset


class _OperationList(KeysetChangeList):
    """The list of operations, without their selections, because they are large."""

    def get_rows(self) -> QuerySet[BulkOperation]:
        return super().get_rows().defer("selection")


@admin.register(BulkOperation)
class BulkOperationAdmin(ReadOnlyAdmin):
    list_display = ("kind", "id", "state", "done", "total", "refused", "actor", "created_at", "ended_at")
    list_filter = ("state", FailureFilter)
    search_fields = ("id",)
    search_help_text = _("The id of an operation, in full.")
    ordering = ("-created_at", "-id")
    fields = (
        "id",
        "kind",
        "state",
        "done",
        "total",
        "refused",
        "problem",
        "actor",
        "selection",
        "created_at",
        "ended_at",
    )
    change_form_template = "operations/admin/operation.html"

    @admin.display(description=_("started by"))
    def actor(self, row: BulkOperation) -> str:
        return row.actor_name

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("operations.add_bulkoperation"))

    def get_changelist(self, request: HttpRequest, **options: Any) -> Any:
        return _OperationList

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<path:object_id>/progress/", view(self.progress_view), name="operations_bulkoperation_progress"),
            path("<path:object_id>/cancel/", view(self.cancel_view), name="operations_bulkoperation_cancel"),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Ask for the objects, show what the operation would affect, and start it when that is confirmed."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        kinds = kinds_for(actor_of(request))
        form = StartForm(request.POST or None, initial=request.GET.dict(), kinds=kinds)
        preview: Preview | None = None
        if form.is_valid():
            try:
                preview = preview_selection(form.selection)
                # Only what was shown: a field may have been edited since.
                if "confirm" in request.POST and request.POST.get("shown") == _selection_key(form.selection):
                    number = form.cleaned_data["number"]
                    row = services.start(actor=actor_of(request), selection=form.selection, typed=number)
                    return HttpResponseRedirect(change_url(row))
            except DomainError as error:
                show_error(form, error)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "form": form,
            "preview": preview,
            "shown": _selection_key(form.selection) if preview else "",
            "title": gettext("Change many objects"),
        }
        return TemplateResponse(request, "operations/admin/start.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = BulkOperation.objects.filter(pk=unquote(object_id)).first()
        shown = [] if row is None else services.outcomes_of(row)[:SHOWN_OUTCOMES]
        context = {"operation": row, "outcomes": shown, "may_cancel": self._may_cancel(request, row)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})

    def _may_cancel(self, request: HttpRequest, row: BulkOperation | None) -> bool:
        return row is not None and Kind(row.kind) in kinds_for(actor_of(request))

    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the progress for the page's script."""
        try:
            row = get_operation(actor_of(request), unquote(object_id))
        except OperationNotFound as error:
            return JsonResponse({"detail": str(error.detail)}, status=404)
        state = {"done": row.done, "total": row.total, "state": row.get_state_display(), "is_open": row.is_open}
        return JsonResponse(state, headers={"Cache-Control": "no-store"})

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Cancel the operation, and return to its page."""
        if request.method != "POST" or not self.has_add_permission(request):
            raise PermissionDenied
        actor = actor_of(request)
        try:
            row = get_operation(actor, unquote(object_id))
            services.cancel(actor=actor, operation=row)
            self.message_user(request, gettext("The operation is cancelled. What is done stays."))
        except DomainError as error:
            self.message_user(request, str(error.detail), messages.ERROR)
        return HttpResponseRedirect(reverse("admin:operations_bulkoperation_change", args=[object_id]))


def _selection_key(selection: Selection) -> str:
    """Return a text that is the same for the same selection."""
    return json.dumps([selection.kind, selection.to_json()])
