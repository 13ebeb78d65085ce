"""Agents in the operators' admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from agents import services
from agents.access import agents_for
from agents.config.masking import masked
from agents.models import Agent
from agents.serializers import AgentChanges
from maim.common.actor import Actor
from maim.http.admin_base import OperatorAdmin, ServiceForm, actor_of


class AgentForm(ServiceForm):
    class Meta:
        help_texts = {
            "template_id": _("An id that names no template is kept and means nothing."),
            "config": _(
                "A JSON object. It is merged into the stored one: what you leave out stays, null removes, "
                "and ******** keeps a stored secret."
            ),
            "tags": _('A JSON list of texts, such as ["support", "beta"].'),
        }


@admin.register(Agent)
class AgentAdmin(OperatorAdmin):
    list_display = ("name", "id", "tenant", "tenant_id", "status", "created_at")
    list_filter = ("status",)
    list_select_related = ("tenant",)
    search_fields = ("name_folded", "id", "tenant__id", "tenant__name_folded")
    raw_id_fields = ("tenant",)
    add_form = form = AgentForm
    add_fields = ("tenant", "name", "description", "template_id", "config", "tags", "rate_limit", "quota")
    fields = (
        "id",
        "tenant",
        "name",
        "description",
        "template_id",
        "status",
        "config",
        "tags",
        "rate_limit",
        "quota",
        "created_at",
        "updated_at",
    )
    readonly_fields = ("id", "tenant", "created_at", "updated_at")
    body = AgentChanges

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        return agents_for(actor_of(request))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Agent | None:
        """The agent with its config masked, so that no page can show a secret."""
        agent: Agent | None = super().get_object(request, object_id, from_field)
        if agent is not None:
            agent.config = masked(agent.config)
        return agent

    def create(self, actor: Actor, values: dict[str, Any]) -> Agent:
        return services.create_agent(actor=actor, **values)

    def change(self, actor: Actor, row: Agent, changes: dict[str, Any]) -> None:
        services.update_agent(actor=actor, agent=row, changes=changes)

    def delete(self, actor: Actor, row: Agent) -> None:
        services.delete_agent(actor=actor, agent=row)
