"""Duplicating, exporting and importing agents behind either door.

The classes here are doorless; v1's are at the end, v2's in `internal_api.views.transfer`.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from agents import transfer_files
from agents.access import get_agent
from agents.models import Agent
from agents.serializers.agents import AgentResponse
from agents.serializers.transfer import (
    DuplicateRequest,
    ExportDocument,
    ExportQuerySerializer,
    ImportQuerySerializer,
    ImportResponse,
)
from agents.services import transfer
from core.http.openapi import TOML, operation
from core.http.preferences import warnings_header
from core.http.views import BaseView, V1View
from tenants.access import Access, default_tenant, get_tenant
from tenants.models import Tenant

_MEDIA_TYPES = {"json": "application/json", "toml": TOML}


class Duplication(BaseView):
    def duplicated(self, agent_id: str, answer: type[Serializer[Any]]) -> Response:
        """The new agent."""
        agent = get_agent(self.actor, agent_id, Access.WRITE_AGENTS)
        body = self.validated_data(DuplicateRequest)

        def duplicate() -> Any:
            return answer(transfer.duplicate_agent(actor=self.actor, agent=agent, **body)).data

        return self.respond_revised(
            self.run_idempotent(duplicate), message=_("Agent duplicated"), tenant_id=agent.tenant_id
        )


class Export(BaseView):
    def file(self, agent: Agent, document: transfer.Document, form: str) -> HttpResponse:
        """The file, which no envelope is around; a browser saves it, and no cache does."""
        return HttpResponse(
            transfer_files.written(document, form),
            content_type=_MEDIA_TYPES[form],
            headers={
                "Content-Disposition": content_disposition_header(True, f"{agent.id}.{form}"),
                "Cache-Control": "no-store",
            },
        )


class Import(BaseView):
    def imported(self, tenant: Tenant, answer: type[Serializer[Any]], *, dry_run: bool) -> Response:
        """The new agent, or with `dry_run` nothing but that it could be."""
        document = self.validated_data(ExportDocument)
        del document["maim_export"]
        document["strict"] = self.is_strict
        agent = None
        if dry_run:
            warnings = transfer.check_import(actor=self.actor, tenant=tenant, **document)
        else:
            agent = transfer.import_agent(actor=self.actor, tenant=tenant, **document)
            warnings = agent.config_warnings
        shown = answer({"dry_run": dry_run, "agent": agent, "config_warnings": warnings}).data
        return self.respond(shown, message=_("Agent imported"), tenant_id=tenant.id, headers=warnings_header(warnings))


class AgentDuplication(Duplication, V1View):
    @operation(
        "Duplicate an agent: its config with all secrets, its plugin settings, but no keys",
        tag="agents",
        request=DuplicateRequest,
        response=AgentResponse,
        errors=(404, 409),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        return self.duplicated(agent_id, AgentResponse)


class AgentExport(Export, V1View):
    @operation(
        "Export an agent as a file, without its secrets",
        tag="agents",
        query=ExportQuerySerializer,
        response=ExportDocument,
        errors=(404,),
        download=True,
    )
    def get(self, request: Request, agent_id: str) -> HttpResponse:
        form = self.validated_query(ExportQuerySerializer)["format"]
        agent = get_agent(self.actor, agent_id, Access.READ)
        return self.file(agent, transfer.export_agent(agent), form)


class AgentImport(Import, V1View):
    @operation(
        "Make an agent from an exported file, or say whether it would work",
        tag="agents",
        request=ExportDocument,
        query=ImportQuerySerializer,
        response=ImportResponse,
        errors=(404, 409),
        strict=True,
    )
    def post(self, request: Request) -> Response:
        query = self.validated_query(ImportQuerySerializer)
        tenant = (
            get_tenant(self.actor, query["tenant_id"], Access.WRITE_AGENTS)
            if "tenant_id" in query
            else default_tenant(self.actor, Access.WRITE_AGENTS)
        )
        return self.imported(tenant, ImportResponse, dry_run=query["dry_run"])
