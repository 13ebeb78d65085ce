"""The audit log and deleted objects in the operators' admin."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.actor import KIND_NAMES, ActorKind
from core.admin_base import ReadOnlyAdmin, actor_of
from core.display import DisplayName
from core.errors import DomainError
from core.models import AuditEntry, DeletedObject
from core.undo import restoring


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
    list_display = ("time", "action", "kind", "actor", "object_id", "tenant_id", "request_id")
    list_filter = (ActorKindFilter, ("action", admin.AllValuesFieldListFilter), "at")
    search_fields = ("object_id", "tenant_id", "request_id", "actor_id")
    search_help_text = _("The id of an object, a tenant, a request or an actor, in full.")
    fields = (
        "time",
        "action",
        "kind",
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

    @admin.display(description=_("time"), ordering="at")
    def time(self, entry: AuditEntry) -> str:
        return date_format(timezone.localtime(entry.at), "Y-m-d H:i:s T")

    @admin.display(description=_("actor kind"), ordering="actor_kind")
    def kind(self, entry: AuditEntry) -> str:
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
