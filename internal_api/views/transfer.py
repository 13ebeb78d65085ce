"""Duplicating, exporting and importing agents, behind the internal door."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from agents.access import get_agent
from agents.serializers.agents import InternalAgentResponse
from agents.serializers.transfer import (
    DuplicateRequest,
    ExportDocument,
    InternalExportQuerySerializer,
    InternalImportQuerySerializer,
    InternalImportResponse,
)
from agents.services import transfer
from agents.views import transfer as transfer_views
from core.http.openapi import operation
from core.http.views import InternalV2View
from tenants.access import Access, get_tenant


class AgentDuplication(transfer_views.Duplication, InternalV2View):
    @operation(
        "Duplicate an agent: its config with all secrets, its plugin settings, but no keys",
        tag="agents",
        request=DuplicateRequest,
        response=InternalAgentResponse,
        errors=(404, 409),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        return self.duplicated(agent_id, InternalAgentResponse)


class AgentExport(transfer_views.Export, InternalV2View):
    @operation(
        "Export an agent as a file",
        tag="agents",
        query=InternalExportQuerySerializer,
        response=ExportDocument,
        errors=(404,),
        download=True,
    )
    def get(self, request: Request, agent_id: str) -> HttpResponse:
        query = self.validated_query(InternalExportQuerySerializer)
        agent = get_agent(self.actor, agent_id, Access.READ)
        document = (
            transfer.export_with_secrets(actor=self.actor, agent=agent)
            if query["reveal_secrets"]
            else transfer.export_agent(agent)
        )
        return self.file(agent, document, query["format"])


class AgentImport(transfer_views.Import, InternalV2View):
    @operation(
        "Make an agent from an exported file, or say whether it would work",
        tag="agents",
        request=ExportDocument,
        query=InternalImportQuerySerializer,
        response=InternalImportResponse,
        errors=(404, 409),
        strict=True,
    )
    def post(self, request: Request) -> Response:
        query = self.validated_query(InternalImportQuerySerializer)
        tenant = get_tenant(self.actor, query["tenant_id"], Access.WRITE_AGENTS)
        return self.imported(tenant, InternalImportResponse, dry_run=query["dry_run"])
