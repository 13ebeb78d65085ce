"""Views that duplicate, export and import agents on the internal surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.fields import Field

from agents.models import Agent
from agents.serializers.agents import InternalAgentResponse
from agents.serializers.transfer import (
    InternalAgentExportQuerySerializer,
    InternalAgentImportQuerySerializer,
    InternalAgentImportResponse,
)
from agents.services import transfer
from agents.views.transfer import BaseAgentDuplicateView, BaseAgentExportView, BaseAgentImportView
from core.http.views import InternalV2View
from tenants.models import Tenant


class AgentDuplicateView(BaseAgentDuplicateView, InternalV2View):
    response_class = InternalAgentResponse


class AgentExportView(BaseAgentExportView, InternalV2View):
    query_class = InternalAgentExportQuerySerializer

    def get_document(self, agent: Agent, query: Mapping[str, Any]) -> transfer.Document:
        if query["reveal_secrets"]:
            return transfer.export_with_secrets(actor=self.actor, agent=agent)
        return super().get_document(agent, query)


class AgentImportView(BaseAgentImportView, InternalV2View):
    query_class = InternalAgentImportQuerySerializer
    response_class = InternalAgentImportResponse

    def get_tenant(self, tenant_id: str | None) -> Tenant:
        if tenant_id is None:
            raise ValidationError({"tenant_id": [Field.default_error_messages["required"]]})
        return super().get_tenant(tenant_id)
