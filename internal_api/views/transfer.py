"""Duplicating, exporting and importing agents, behind the internal door."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from agents.access import get_agent
from agents.serializers.agents import InternalAgentAnswer
from agents.serializers.transfer import (
    DuplicateBody,
    ExportBody,
    InternalExportQuery,
    InternalImportAnswer,
    InternalImportQuery,
)
from agents.services import transfer
from agents.views import transfer as transfer_views
from core.http.openapi import operation
from core.http.views import InternalView
from tenants.access import Need, get_tenant


class AgentDuplication(transfer_views.Duplication, InternalView):
    @operation(
        "Duplicate an agent: its config with all secrets, its plugin settings, but no keys",
        tag="agents",
        request=DuplicateBody,
        answer=InternalAgentAnswer,
        refusals=(404, 409),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        return self.duplicated(agent_id, InternalAgentAnswer)


class AgentExport(transfer_views.Export, InternalView):
    @operation(
        "Export an agent as a file",
        tag="agents",
        query=InternalExportQuery,
        answer=ExportBody,
        refusals=(404,),
        download=True,
    )
    def get(self, request: Request, agent_id: str) -> HttpResponse:
        query = self.query(InternalExportQuery)
        agent = get_agent(self.actor, agent_id, Need.READ)
        document = (
            transfer.exported_with_secrets(actor=self.actor, agent=agent)
            if query["reveal_secrets"]
            else transfer.exported(agent)
        )
        return self.file(agent, document, query["format"])


class AgentImport(transfer_views.Import, InternalView):
    @operation(
        "Make an agent from an exported file, or say whether it would work",
        tag="agents",
        request=ExportBody,
        query=InternalImportQuery,
        answer=InternalImportAnswer,
        refusals=(404, 409),
        strict=True,
    )
    def post(self, request: Request) -> Response:
        query = self.query(InternalImportQuery)
        tenant = get_tenant(self.actor, query["tenant_id"], Need.WRITE_AGENTS)
        return self.imported(tenant, InternalImportAnswer, dry_run=query["dry_run"])
