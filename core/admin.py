"""The audit log in the operators' admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from core.actor import KIND_NAMES, ActorKind
from core.admin_base import ReadOnlyAdmin
from core.display import DisplayName
from core.models import AuditEntry


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
