"""Views of configs, templates and the change feed on the internal surface."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents import change_feed, effective_config
from agents.change_feed import Cursor
from agents.serializers.configs import (
    ConfigChangeListQuerySerializer,
    ConfigChangeListResponse,
    ConfigVersionPageQuerySerializer,
    InternalEffectiveConfigQuerySerializer,
    InternalTemplateCreateRequest,
    TemplatePageQuerySerializer,
)
from agents.views.configs import (
    EXPLAINED,
    BaseConfigDiffView,
    BaseConfigRestoreView,
    BaseConfigSchemaView,
    BaseConfigVersionDetailView,
    BaseConfigVersionListView,
    BaseConfigView,
    BaseEffectiveConfigView,
)
from agents.views.templates import BaseTemplateDetailView, BaseTemplateListView
from core.http import conditional
from core.http.operations import operation
from core.http.views import InternalV2View
from tenants.access import get_tenant
from tenants.models import Tenant
from tenants.roles import Access


class AgentConfigView(BaseConfigView, InternalV2View):
    pass


class EffectiveConfigView(BaseEffectiveConfigView, InternalV2View):
    query_class = InternalEffectiveConfigQuerySerializer
    summaries = {"get": "Read an agent's effective config: what a bot starts from"}

    def get(self, request: Request, agent_id: str) -> Response:
        query = self.validated_query(self.query_class)
        state = self.get_state(agent_id)
        if not query["reveal_secrets"]:
            return self.respond_masked(state, explain=query["explain"])
        suffix = f"-revealed{EXPLAINED if query['explain'] else ''}"
        if conditional.is_unchanged(request._request, state.etag + suffix):
            return self.not_modified(state.etag + suffix)
        effective, sources = effective_config.reveal_effective_config(actor=self.actor, agent_id=agent_id)
        response = self.respond_effective(effective, sources if query["explain"] else None, suffix=suffix)
        response["Cache-Control"] = "no-store"
        return response


class ConfigVersionListView(BaseConfigVersionListView, InternalV2View):
    query_class = ConfigVersionPageQuerySerializer


class ConfigVersionDetailView(BaseConfigVersionDetailView, InternalV2View):
    pass


class ConfigDiffView(BaseConfigDiffView, InternalV2View):
    pass


class ConfigRestoreView(BaseConfigRestoreView, InternalV2View):
    pass


class ConfigSchemaView(BaseConfigSchemaView, InternalV2View):
    pass


class ConfigChangeListView(InternalV2View):
    @operation(
        "Which agents have changed since: their effective config, their status, or that they are gone",
        tag="config",
        query=ConfigChangeListQuerySerializer,
        response=ConfigChangeListResponse,
        errors=(410,),
    )
    def get(self, request: Request) -> Response:
        query = self.validated_query(ConfigChangeListQuerySerializer)
        if "after" not in query:
            page = change_feed.Page([], change_feed.current_cursor(), has_more=False)
        else:
            page = change_feed.read_page(Cursor.parse(query["after"]), query["limit"])
        data = {"items": page.items, "cursor": str(page.cursor), "has_more": page.has_more}
        return self.respond(data, message=_("Changes listed"))


class TemplateListView(BaseTemplateListView, InternalV2View):
    query_class = TemplatePageQuerySerializer
    create_request_class = InternalTemplateCreateRequest
    summaries = {"post": "Create a template, for everybody or a tenant's"}

    def get_owner(self, tenant_id: str | None) -> Tenant | None:
        return None if tenant_id is None else get_tenant(self.actor, tenant_id, Access.WRITE_AGENTS)


class TemplateDetailView(BaseTemplateDetailView, InternalV2View):
    pass
