"""Views that duplicate, export and import agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from agent_config.maibot.importing import ImportedFiles
from agents import maibot_files, transfer_files
from agents.access import get_agent
from agents.models import Agent
from agents.serializers.agents import AgentResponse
from agents.serializers.transfer import (
    AgentDuplicateRequest,
    AgentExportDocument,
    AgentExportQuerySerializer,
    AgentImportQuerySerializer,
    AgentImportResponse,
    MaiBotImportRequest,
)
from agents.services import transfer
from agents.views.tenants import get_chosen_tenant
from core.actor import TokenScope
from core.http.operations import JSON, TOML, FromView, operation
from core.http.preferences import warnings_header
from core.http.views import BaseView, V1View
from tenants.models import Tenant
from tenants.roles import Access

_MEDIA_TYPES = {"json": JSON, "toml": TOML}


class BaseAgentDuplicateView(BaseView):
    response_class: ClassVar[type[Serializer[Any]]]

    @operation(
        "Duplicate an agent: its config with all secrets, its plugin settings, but no keys",
        tag="agents",
        token=TokenScope.WRITE,
        request=AgentDuplicateRequest,
        response=FromView("response_class"),
        errors=(404, 409),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.WRITE_AGENTS)
        body = self.validated_data(AgentDuplicateRequest)

        def duplicate() -> Any:
            return self.response_class(transfer.duplicate_agent(actor=self.actor, agent=agent, **body)).data

        return self.respond_revised(
            self.run_idempotent(duplicate), message=_("Agent duplicated"), tenant_id=agent.tenant_id
        )


class BaseAgentExportView(BaseView):
    query_class: ClassVar[type[AgentExportQuerySerializer]]

    @operation(
        "Export an agent as a file",
        tag="agents",
        token=TokenScope.READ,
        query=FromView("query_class"),
        response=AgentExportDocument,
        errors=(404,),
        download=True,
    )
    def get(self, request: Request, agent_id: str) -> HttpResponse:
        query = self.validated_query(self.query_class)
        agent = get_agent(self.actor, agent_id, Access.READ)
        return HttpResponse(
            transfer_files.dumps(self.get_document(agent, query), query["format"]),
            content_type=_MEDIA_TYPES[query["format"]],
            headers={
                "Content-Disposition": content_disposition_header(True, f"{agent.id}.{query['format']}"),
                "Cache-Control": "no-store",
            },
        )

    def get_document(self, agent: Agent, query: Mapping[str, Any]) -> transfer.Document:
        """Return the content of the file, without secrets."""
        return transfer.export_agent(agent)


IMPORTS = PolymorphicProxySerializer(
    component_name="AgentImport", serializers=[AgentExportDocument, MaiBotImportRequest], resource_type_field_name=None
)


class BaseAgentImportView(BaseView):
    query_class: ClassVar[type[AgentImportQuerySerializer]]
    response_class: ClassVar[type[Serializer[Any]]]

    @operation(
        "Make an agent from an exported file or from the bot's own files, or say whether it would work",
        tag="agents",
        token=TokenScope.WRITE,
        request=IMPORTS,
        query=FromView("query_class"),
        response=FromView("response_class"),
        errors=(404, 409),
        strict=True,
    )
    def post(self, request: Request) -> Response:
        query = self.validated_query(self.query_class)
        files = self.validated_data(MaiBotImportRequest) if self._has_files() else {}
        tenant = self.get_tenant(files.pop("tenant_id", None) or query.get("tenant_id"))
        document, report = self._read_files(files) if files else (self._read_document(), None)
        result = transfer_files.import_document(
            self.actor, tenant, {**document, "strict": self.is_strict}, dry_run=query["dry_run"]
        )
        return self.respond(
            self.response_class({**result, "report": report}).data,
            message=_("Agent imported"),
            tenant_id=tenant.id,
            headers=warnings_header(result["config_warnings"]),
        )

    def get_tenant(self, tenant_id: str | None) -> Tenant:
        """Return the tenant whose agent is made."""
        return get_chosen_tenant(self.actor, tenant_id, Access.WRITE_AGENTS)

    def _has_files(self) -> bool:
        """Return whether the body has the bot's own files, and not an exported one."""
        return isinstance(self.raw_data, dict) and "format" in self.raw_data

    def _read_document(self) -> dict[str, Any]:
        document: dict[str, Any] = self.validated_data(AgentExportDocument)
        del document["maim_export"]
        return document

    def _read_files(self, body: dict[str, Any]) -> tuple[dict[str, Any], ImportedFiles]:
        del body["format"]
        texts = body.pop("bot", None), body.pop("model", None)
        report = maibot_files.read_files(*(None if text is None else text.encode() for text in texts))
        return {**body, "config": report.config, "config_schema": report.schema_name}, report


class AgentDuplicateView(BaseAgentDuplicateView, V1View):
    response_class = AgentResponse


class AgentExportView(BaseAgentExportView, V1View):
    query_class = AgentExportQuerySerializer
    summaries = {"get": "Export an agent as a file, without its secrets"}


class AgentImportView(BaseAgentImportView, V1View):
    query_class = AgentImportQuerySerializer
    response_class = AgentImportResponse
