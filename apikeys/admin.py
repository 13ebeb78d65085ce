"""API keys and the bots' usage log in the operators' admin."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import ForeignKeyRawIdWidget
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from apikeys import keyformat, queries, services
from apikeys.access import keys_for
from apikeys.models import ApiKey, KeyStatus, UsageLogEntry
from apikeys.serializers import KeyChanges
from maim.common import clock
from maim.common.actor import Actor
from maim.http.admin_base import RAW_ID, OperatorAdmin, ReadOnlyAdmin, ServiceForm, actor_of, all_or_none, change_url
from maim.http.fields import FIRST_YEAR


class StatusFilter(admin.SimpleListFilter):
    """By the status people see, in which an active key whose time is over has expired."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(KeyStatus.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        return queries.matching(queryset, status=self.value()) if self.value() in KeyStatus else queryset


class AgentIdWidget(ForeignKeyRawIdWidget):
    """An agent by its id, with its name and tenant beside it."""

    def label_and_url_for_value(self, value: Any) -> tuple[str, str]:
        agent = Agent.unscoped.select_related("tenant").filter(pk=value).first()
        return ("", "") if agent is None else (f"{agent.name} ({agent.tenant})", change_url(agent))


class KeyForm(ServiceForm):
    class Meta:
        help_texts = {"permissions": _('A JSON list of texts, such as ["agent:read", "chat"].')}

    def clean_expires_at(self) -> datetime | None:
        moment: datetime | None = self.cleaned_data["expires_at"]
        if moment is not None and moment.year < FIRST_YEAR:
            raise forms.ValidationError(_("The time must lie between 1970 and 9999."))
        return moment


@admin.register(ApiKey)
class ApiKeyAdmin(OperatorAdmin):
    list_display = ("name", "api_key", "current_status", "agent", "tenant", "tenant_id", "expires_at", "last_used_at")
    list_filter = (StatusFilter,)
    list_select_related = ("agent", "tenant")
    search_fields = ("name_folded", "id", "agent__id", "agent__name_folded", "tenant__id", "tenant__name_folded")
    raw_id_fields = ("agent",)
    actions = ("disable", "enable")
    add_form = form = KeyForm
    add_fields = ("agent", "name", "description", "permissions", "expires_at")
    fields = (
        "id",
        "api_key",
        "agent",
        "tenant",
        "name",
        "description",
        "permissions",
        "status",
        "expires_at",
        "last_used_at",
        "usage_count",
        "created_at",
        "updated_at",
    )
    readonly_fields = (
        "id",
        "api_key",
        "agent",
        "tenant",
        "last_used_at",
        "usage_count",
        "created_at",
        "updated_at",
    )
    body = KeyChanges

    @admin.display(description=_("API key"))
    def api_key(self, key: ApiKey) -> str:
        """The masked form: the key itself is stored nowhere."""
        return keyformat.masked(key.newest_secrets[0].hint)

    @admin.display(description=_("status"), ordering="status")
    def current_status(self, key: ApiKey) -> str:
        return str(key.status_at(clock.now()).label)

    @admin.action(description=_("Disable selected keys"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        actor = actor_of(request)
        all_or_none(queryset, lambda key: services.disable_key(actor=actor, key=key))
        self.message_user(request, gettext("The keys are disabled."))

    @admin.action(description=_("Enable selected keys"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        actor = actor_of(request)
        all_or_none(queryset, lambda key: services.enable_key(actor=actor, key=key))
        self.message_user(request, gettext("The keys are enabled."))

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return keys_for(actor_of(request))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        # The model's own form field would ask Agent's default manager, which refuses.
        return forms.ModelChoiceField(
            queryset=Agent.unscoped.all(),
            label=capfirst(db_field.verbose_name),
            widget=AgentIdWidget(db_field.remote_field, self.admin_site, RAW_ID),
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
        else:
            # For response_add, which this very object is handed to.
            obj.issued = services.issue_key(actor=actor_of(request), **form.cleaned_data)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """The one page with the secret: an answer, not a redirect, which would have to keep it somewhere."""
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("API key issued"),
            "opts": self.opts,
            "key": obj.issued.key,
            "secret": obj.issued.secret,
            "key_url": change_url(obj.issued.key),
        }
        return TemplateResponse(request, "apikeys/admin/issued_key.html", context)

    def change(self, actor: Actor, row: ApiKey, changes: dict[str, Any]) -> None:
        services.update_key(actor=actor, key=row, changes=changes)

    def delete(self, actor: Actor, row: ApiKey) -> None:
        services.delete_key(actor=actor, key=row)


@admin.register(UsageLogEntry)
class UsageLogEntryAdmin(ReadOnlyAdmin):
    list_display = ("timestamp", "action", "platform", "tenant_id", "agent_id", "user_id")
    list_filter = ("created_at",)
    search_fields = ("tenant_id__exact", "agent_id__exact", "user_id__exact", "action__exact")
    search_help_text = _("The id of a tenant, an agent or a user, or an action, in full.")
    fields = ("timestamp", "action", "platform", "tenant_id", "agent_id", "user_id", "details", "created_at")
