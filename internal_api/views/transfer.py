"""Views that duplicate, export and import agents on the internal surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
