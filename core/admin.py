"""The audit log and deleted objects in the operators' admin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core import audit_export
from core.actor import KIND_NAMES, ActorKind
from core.admin_base import ReadOnlyAdmin, actor_of
from core.admin_search import search_ids, search_page
from core.display import DisplayName
from core.errors import DomainError, Text
from core.http.operations import JSON_LINES
from core.listing import ids_of, rows_in_order
from core.models import AuditEntry, DeletedObject
from core.undo import restoring

# Entries that a file has at most, because the server sends it in one piece.
MAX_EXPORTED = 10_000
_EXPORT_PAGE = 500
# Objects of each model that a search finds by name, each of which is looked up in an index of the log.
_MAX_NAMED = 2
# The attribute of an export's request that has the number of entries its search may find.
_SEARCH_LIMIT = "maim_search_limit"


class ExportFormat(NamedTuple):
    """A format of the log as a file."""

    title: Text
    content_type: str
    write: Callable[[Iterable[AuditEntry]], str]


# The formats by the extension of the file.
_EXPORT_FORMATS = {
    "jsonl": ExportFormat(_("Export as JSON Lines"), JSON_LINES, audit_export.json_lines),
    "csv": ExportFormat(_("Export as CSV"), "text/csv; charset=utf-8", audit_export.csv_text),
}


class ActorKindFilter(admin.SimpleListFilter):
    """A filter by the kind of actor. The kinds are known, so that the log is not searched for them."""

    title = AuditEntry._meta.get_field("actor_kind").verbose_name
    parameter_name = "actor_kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.value, str(name)) for kind, name in KIND_NAMES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(actor_kind=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("time", "action", "actor_kind_name", "actor", "object_id", "tenant_id", "request_id")
    list_filter = (ActorKindFilter, ("action", admin.AllValuesFieldListFilter), "at")
    search_fields = ("object_id", "tenant_id", "request_id", "actor_id")
    search_help_text = _("An id in full, or the beginning of a name: the first two of each kind.")
    change_list_template = "maim/admin/audit_log.html"
    fields = (
        "time",
        "action",
        "actor_kind_name",
        "actor_id",
        "actor",
        "token_id",
        "address",
        "request_id",
        "object_id",
        "tenant_id",
        "before",
        "after",
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        """Return the entries that a search finds, also those on objects and by actors whose names it finds."""
        limit = getattr(request, _SEARCH_LIMIT, self.list_per_page + 1)
        term = search_term.strip()
        named = list(self._about_named(request, term)) if term else []
        return search_page(request, queryset, self.search_fields, term, limit, others=named), False

    def _about_named(self, request: HttpRequest, term: str) -> Iterator[tuple[str, str]]:
        """Yield pairs of a column and an id: entries on objects whose names begin with the term, or by such users."""
        for model_admin in self.admin_site._registry.values():
            names = [field for field in getattr(model_admin, "palette_fields", ()) if field.endswith("__startswith")]
            if names:
                is_of_users = issubclass(model_admin.model, get_user_model())
                for pk in search_ids(model_admin.get_queryset(request), names, term, _MAX_NAMED):
                    yield "object_id", pk
                    if is_of_users:
                        yield "actor_id", pk

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/<str:extension>/", view, name="common_auditentry_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        query = request.GET.copy()
        query.pop(PAGE_VAR, None)
        exports = [
            (export.title, f"{reverse('admin:common_auditentry_export', args=[extension])}?{query.urlencode()}")
            for extension, export in _EXPORT_FORMATS.items()
        ]
        title = gettext("The newest %(number)d of these entries; manage.py audit export has all.")
        context = {"exports": exports, "exports_title": title % {"number": MAX_EXPORTED}}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def export_view(self, request: HttpRequest, extension: str) -> HttpResponse:
        """Return the newest of the entries that the list's filters and search find, as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "GET":  # because search_page does not filter other requests: all entries would be exported
            return HttpResponseNotAllowed(["GET"])
        export = _EXPORT_FORMATS.get(extension)
        if export is None:
            raise Http404
        setattr(request, _SEARCH_LIMIT, MAX_EXPORTED)
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{reverse('admin:common_auditentry_changelist')}?{ERROR_FLAG}=1")
        ids = list(ids_of(rows)[:MAX_EXPORTED])
        pages = (ids[start : start + _EXPORT_PAGE] for start in range(0, len(ids), _EXPORT_PAGE))
        text = export.write(chain.from_iterable(rows_in_order(AuditEntry.objects.all(), page) for page in pages))
        audit_export.record_export(
            actor=actor_of(request), file_format=extension, filters=request.GET.dict(), entries=len(ids)
        )
        headers = {"Content-Disposition": f'attachment; filename="audit.{extension}"', "Cache-Control": "no-store"}
        return HttpResponse(text, content_type=export.content_type, headers=headers)

    @admin.display(description=_("time"), ordering="at")
    def time(self, entry: AuditEntry) -> str:
        return date_format(timezone.localtime(entry.at), "Y-m-d H:i:s T")

    @admin.display(description=_("actor kind"), ordering="actor_kind")
    def actor_kind_name(self, entry: AuditEntry) -> str:
        return str(KIND_NAMES[ActorKind(entry.actor_kind)])

    @admin.display(description=_("actor"), ordering="actor_label")
    def actor(self, entry: AuditEntry) -> str:
        return DisplayName(entry.actor).__html__()


@admin.register(DeletedObject)
class DeletedObjectAdmin(ReadOnlyAdmin):
    """Deleted objects, each with a button that restores it."""

    list_display = ("name", "kind", "object_id", "tenant_id", "actor", "deleted_at", "expires_at")
    search_fields = ("id", "object_id", "tenant_id")
    search_help_text = _("The id of a tenant, an agent, or of the deletion, in full.")
    ordering = ("-deleted_at", "-id")
    fields = ("id", "kind", "object_id", "tenant_id", "name", "content", "actor", "deleted_at", "expires_at")
    change_form_template = "maim/admin/deleted_object.html"

    @admin.display(description=_("deleted by"))
    def actor(self, row: DeletedObject) -> str:
        return DisplayName(row.actor).__html__()

    @admin.display(description=_("content"))
    def content(self, row: DeletedObject) -> str:
        names = {label: apps.get_model(label)._meta.verbose_name_plural for label in row.counts}
        return ", ".join(f"{capfirst(names[label])}: {number}" for label, number in row.counts.items())

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeletedObject]:
        return restoring.deleted_objects()

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.restore_view)
        return [path("<path:object_id>/restore/", view, name="common_deletedobject_restore"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "may_restore": self._may_restore(request)}
        return super().change_view(request, object_id, form_url, context)

    def restore_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Restore the object, and go to its page."""
        if request.method != "POST" or not self._may_restore(request):
            raise PermissionDenied
        actor = actor_of(request)
        try:
            deleted = restoring.find_deleted(actor, unquote(object_id))
            renamed = restoring.restore(actor=actor, deleted=deleted).renamed
        except DomainError as error:
            self.message_user(request, str(error.detail), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:common_deletedobject_changelist"))
        self.message_user(request, gettext("It is restored. Its API keys are disabled: rotate and enable them."))
        if renamed:
            taken = gettext("These names were taken meanwhile, and have an id behind them now: %(names)s")
            self.message_user(request, taken % {"names": ", ".join(renamed.values())}, messages.WARNING)
        page = {"tenant": "admin:tenants_tenant_change", "agent": "admin:agents_agent_change"}[deleted.kind]
        return HttpResponseRedirect(reverse(page, args=[quote(deleted.object_id)]))

    def _may_restore(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("common.restore_deletedobject"))
