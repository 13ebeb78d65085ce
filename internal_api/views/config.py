"""Agents' config, templates, and the feed of changes, behind the internal door."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents import change_feed, effective_config
from agents.access import get_agent
from agents.change_feed import Cursor
from agents.serializers.configs import (
    ChangesQuerySerializer,
    ChangesResponse,
    EffectiveResponse,
    InternalEffectiveQuerySerializer,
    InternalTemplateCreateRequest,
    ListedTemplateResponse,
    TemplatePage,
    TemplatePageQuerySerializer,
    TemplateResponse,
    VersionPage,
    VersionPageQuerySerializer,
    VersionResponse,
)
from agents.services import config_versions, templates
from agents.views import configs as config_views
from agents.views import templates as template_views
from core.http import conditional
from core.http.openapi import operation
from core.http.pagination import page
from core.http.preferences import warnings_header
from core.http.views import InternalV2View
from tenants.access import Access, get_tenant


class AgentConfig(config_views.ConfigDocument, InternalV2View):
    pass


class EffectiveConfig(config_views.EffectiveConfig, InternalV2View):
    @operation(
        "Read an agent's effective config: what a bot starts from",
        tag="config",
        query=InternalEffectiveQuerySerializer,
        response=EffectiveResponse,
        errors=(404,),
        conditional=True,
    )
    def get(self, request: Request, agent_id: str) -> Response:
        query = self.validated_query(InternalEffectiveQuerySerializer)
        state = self.get_state(agent_id)
        if not query["reveal_secrets"]:
            return self.shown(state, explain=query["explain"])
        kind = f"-revealed{config_views.EXPLAINED if query['explain'] else ''}"
        if conditional.is_unchanged(request._request, state.etag + kind):
            return self.not_modified(state.etag + kind)
        found, sources = effective_config.reveal_effective_config(actor=self.actor, agent_id=agent_id)
        answer = self.document(found, sources if query["explain"] else None, kind=kind)
        answer["Cache-Control"] = "no-store"
        return answer


class ConfigVersions(InternalV2View):
    @operation(
        "List the versions of an agent's config, newest first",
        tag="config",
        query=VersionPageQuerySerializer,
        response=VersionPage,
        errors=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        rows = config_versions.versions_of(agent)
        found = page(rows, VersionResponse, key="number", **self.validated_query(VersionPageQuerySerializer))
        return self.respond(found, message=_("Config versions listed"), tenant_id=agent.tenant_id)


class ConfigVersion(config_views.ConfigVersion, InternalV2View):
    pass


class ConfigDiff(config_views.ConfigDiff, InternalV2View):
    pass


class ConfigRestoring(config_views.ConfigRestoring, InternalV2View):
    pass


class ConfigSchema(config_views.ConfigSchema, InternalV2View):
    pass


class ConfigChanges(InternalV2View):
    @operation(
        "Which agents have changed since: their effective config, their status, or that they are gone",
        tag="config",
        query=ChangesQuerySerializer,
        response=ChangesResponse,
        errors=(410,),
    )
    def get(self, request: Request) -> Response:
        query = self.validated_query(ChangesQuerySerializer)
        if "after" not in query:
            found = change_feed.Page([], change_feed.current_cursor(), has_more=False)
        else:
            found = change_feed.read_page(Cursor.parse(query["after"]), query["limit"])
        answer = {"items": found.items, "cursor": str(found.cursor), "has_more": found.has_more}
        return self.respond(answer, message=_("Changes listed"))


class Templates(InternalV2View):
    @operation("List templates", tag="templates", query=TemplatePageQuerySerializer, response=TemplatePage)
    def get(self, request: Request) -> Response:
        query = self.validated_query(TemplatePageQuerySerializer)
        rows = templates.templates_for(self.actor)
        if "tenant_id" in query:
            rows = rows.filter(tenant_id=query["tenant_id"])
        found = page(rows, ListedTemplateResponse, page=query["page"], size=query["size"], after=query.get("after"))
        return self.respond(found, message=_("Templates listed"), tenant_id=query.get("tenant_id"))

    @operation(
        "Create a template, for everybody or a tenant's",
        tag="templates",
        request=InternalTemplateCreateRequest,
        response=TemplateResponse,
        errors=(404, 409),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        body = self.validated_data(InternalTemplateCreateRequest)
        named = body.pop("tenant_id", None)
        tenant = None if named is None else get_tenant(self.actor, named, Access.WRITE_AGENTS)
        template = templates.create_template(actor=self.actor, tenant=tenant, strict=self.is_strict, **body)
        return self.respond_revised(
            TemplateResponse(template).data,
            message=_("Template created"),
            tenant_id=named,
            headers=warnings_header(template.config_warnings),
        )


class Template(template_views.TemplateDocument, InternalV2View):
    pass
