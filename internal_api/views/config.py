"""Agents' config, templates, and the feed of changes, behind the internal door."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents import change_feed, effective_config
from agents.access import get_agent
from agents.change_feed import Cursor
from agents.serializers.configs import (
    ChangesAnswer,
    ChangesQuery,
    EffectiveAnswer,
    InternalEffectiveQuery,
    InternalTemplateBody,
    ListedTemplateAnswer,
    TemplateAnswer,
    TemplatePage,
    TemplatePageQuery,
    VersionAnswer,
    VersionPage,
    VersionPageQuery,
)
from agents.services import config_versions, templates
from agents.views import configs as config_views
from agents.views import templates as template_views
from core.http import conditional
from core.http.openapi import operation
from core.http.pagination import page
from core.http.preferences import warnings_header
from core.http.views import InternalView
from tenants.access import Need, get_tenant


class AgentConfig(config_views.ConfigDocument, InternalView):
    pass


class EffectiveConfig(config_views.EffectiveConfig, InternalView):
    @operation(
        "Read an agent's effective config: what a bot starts from",
        tag="config",
        query=InternalEffectiveQuery,
        answer=EffectiveAnswer,
        refusals=(404,),
        conditional=True,
    )
    def get(self, request: Request, agent_id: str) -> Response:
        query = self.query(InternalEffectiveQuery)
        head = self.head_of(agent_id)
        if not query["reveal_secrets"]:
            return self.shown(head, explain=query["explain"])
        kind = f"-revealed{config_views.EXPLAINED if query['explain'] else ''}"
        if conditional.is_unchanged(request._request, head.etag + kind):
            return self.not_modified(head.etag + kind)
        found, sources = effective_config.revealed(actor=self.actor, agent_id=agent_id)
        answer = self.document(found, sources if query["explain"] else None, kind=kind)
        answer["Cache-Control"] = "no-store"
        return answer


class ConfigVersions(InternalView):
    @operation(
        "List the versions of an agent's config, newest first",
        tag="config",
        query=VersionPageQuery,
        answer=VersionPage,
        refusals=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.READ)
        rows = config_versions.versions_of(agent)
        found = page(rows, VersionAnswer, key="number", **self.query(VersionPageQuery))
        return self.reply(found, message=_("Config versions listed"), tenant_id=agent.tenant_id)


class ConfigVersion(config_views.ConfigVersion, InternalView):
    pass


class ConfigDiff(config_views.ConfigDiff, InternalView):
    pass


class ConfigRestoring(config_views.ConfigRestoring, InternalView):
    pass


class ConfigSchema(config_views.ConfigSchema, InternalView):
    pass


class ConfigChanges(InternalView):
    @operation(
        "Which agents have changed since: their effective config, their status, or that they are gone",
        tag="config",
        query=ChangesQuery,
        answer=ChangesAnswer,
        refusals=(410,),
    )
    def get(self, request: Request) -> Response:
        query = self.query(ChangesQuery)
        if "after" not in query:
            found = change_feed.Page([], change_feed.now(), has_more=False)
        else:
            found = change_feed.after(Cursor.read(query["after"]), query["limit"])
        answer = {"items": found.items, "cursor": str(found.cursor), "has_more": found.has_more}
        return self.reply(answer, message=_("Changes listed"))


class Templates(InternalView):
    @operation("List templates", tag="templates", query=TemplatePageQuery, answer=TemplatePage)
    def get(self, request: Request) -> Response:
        query = self.query(TemplatePageQuery)
        rows = templates.templates_for(self.actor)
        if "tenant_id" in query:
            rows = rows.filter(tenant_id=query["tenant_id"])
        found = page(rows, ListedTemplateAnswer, page=query["page"], size=query["size"], after=query.get("after"))
        return self.reply(found, message=_("Templates listed"), tenant_id=query.get("tenant_id"))

    @operation(
        "Create a template, for everybody or a tenant's",
        tag="templates",
        request=InternalTemplateBody,
        answer=TemplateAnswer,
        refusals=(404, 409),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        body = self.body(InternalTemplateBody)
        named = body.pop("tenant_id", None)
        tenant = None if named is None else get_tenant(self.actor, named, Need.WRITE_AGENTS)
        template = templates.create_template(actor=self.actor, tenant=tenant, strict=self.is_strict, **body)
        return self.reply_revised(
            TemplateAnswer(template).data,
            message=_("Template created"),
            tenant_id=named,
            headers=warnings_header(template.config_warnings),
        )


class Template(template_views.TemplateDocument, InternalView):
    pass
