"""Views of templates."""

from __future__ import annotations

from typing import ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents.config_warnings import find_template_warnings
from agents.serializers.configs import (
    TemplateCreateRequest,
    TemplateDeletionQuerySerializer,
    TemplateDeletionResponse,
    TemplateListItemResponse,
    TemplateListQuerySerializer,
    TemplatePageQuerySerializer,
    TemplateResponse,
    TemplateUpdateRequest,
    TemplateWriteQuerySerializer,
    TemplateWriteResponse,
)
from agents.services import templates
from agents.views.tenants import get_chosen_tenant
from core.actor import TokenScope
from core.fields import json_text
from core.http import conditional
from core.http.operations import FromView, ListOf, operation
from core.http.preferences import warnings_header
from core.http.views import BaseView, V1View
from core.listing import LargeList
from core.revisions import check_revision
from tenants.models import Tenant
from tenants.roles import Access


class BaseTemplateDetailView(BaseView):
    @operation(
        "Read a template",
        tag="templates",
        token=TokenScope.READ,
        response=TemplateResponse,
        errors=(404,),
        conditional=True,
    )
    def get(self, request: Request, template_id: str) -> Response:
        template = templates.get_template(self.actor, template_id, Access.READ)
        return self.respond_conditionally(
            template, TemplateResponse, message=_("Template found"), tenant_id=template.tenant_id
        )

    @operation(
        "Change a template, and with it all agents that use it; or say how many those are",
        tag="templates",
        token=TokenScope.WRITE,
        request=TemplateUpdateRequest,
        query=TemplateWriteQuerySerializer,
        response=TemplateWriteResponse,
        errors=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def put(self, request: Request, template_id: str) -> Response:
        query, changes = self.validated_query(TemplateWriteQuerySerializer), self.validated_data(TemplateUpdateRequest)
        template = templates.get_template(self.actor, template_id, Access.WRITE_AGENTS)
        if query["dry_run"]:
            check_revision(template, self.if_match)
        else:
            template = templates.update_template(
                actor=self.actor,
                template=template,
                changes=changes,
                replace=query["replace"],
                expected=self.if_match,
                strict=self.is_strict,
            )
        find_template_warnings(template)
        answer = {
            "template": template,
            "agents": templates.agents_of(template).count(),
            "dry_run": query["dry_run"],
        }
        return self.respond(
            TemplateWriteResponse(answer).data,
            message=_("Nothing was changed") if query["dry_run"] else _("Template changed"),
            tenant_id=template.tenant_id,
            headers={**conditional.version_header(template.revision), **warnings_header(template.config_warnings)},
        )

    @operation(
        "Delete a template; or say how many agents use it",
        tag="templates",
        token=TokenScope.WRITE,
        query=TemplateDeletionQuerySerializer,
        response=TemplateDeletionResponse,
        errors=(404, 409, 412),
    )
    def delete(self, request: Request, template_id: str) -> Response:
        is_dry_run = self.validated_query(TemplateDeletionQuerySerializer)["dry_run"]
        template = templates.get_template(self.actor, template_id, Access.WRITE_AGENTS)
        answer = {"id": template.id, "agents": templates.agents_of(template).count(), "dry_run": is_dry_run}
        if is_dry_run:
            check_revision(template, self.if_match)
        else:
            templates.delete_template(actor=self.actor, template=template, expected=self.if_match)
        return self.respond(
            answer,
            message=_("Nothing was changed") if is_dry_run else _("Template deleted"),
            tenant_id=template.tenant_id,
        )


class BaseTemplateListView(BaseView):
    query_class: ClassVar[type[TemplateListQuerySerializer | TemplatePageQuerySerializer]]
    create_request_class: ClassVar[type[TemplateCreateRequest]]

    @operation(
        "List templates",
        tag="templates",
        token=TokenScope.READ,
        query=FromView("query_class"),
        response=ListOf(TemplateListItemResponse),
    )
    def get(self, request: Request) -> Response:
        filters, part = self.validated_list_query(self.query_class)
        rows = (
            templates.templates_for(self.actor)
            .filter(**filters)
            .defer("config")
            .annotate(config_json=json_text("config"))
        )
        return self.respond_list(
            LargeList(rows),
            TemplateListItemResponse,
            part,
            message=_("Templates listed"),
            tenant_id=filters.get("tenant_id"),
        )

    @operation(
        "Create a template",
        tag="templates",
        token=TokenScope.WRITE,
        request=FromView("create_request_class"),
        response=TemplateResponse,
        errors=(404, 409),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        body = self.validated_data(self.create_request_class)
        tenant = self.get_owner(body.pop("tenant_id", None))
        template = templates.create_template(actor=self.actor, tenant=tenant, strict=self.is_strict, **body)
        return self.respond_revised(
            TemplateResponse(template).data,
            message=_("Template created"),
            tenant_id=template.tenant_id,
            headers=warnings_header(template.config_warnings),
        )

    def get_owner(self, tenant_id: str | None) -> Tenant | None:
        """Return the tenant that a new template belongs to, or None for a template for everybody."""
        raise NotImplementedError


class TemplateListView(BaseTemplateListView, V1View):
    query_class = TemplateListQuerySerializer
    create_request_class = TemplateCreateRequest
    summaries = {
        "get": "List the templates one may use: the operators', and those of one's tenants",
        "post": "Create a template of one's tenant",
    }

    def get_owner(self, tenant_id: str | None) -> Tenant:
        return get_chosen_tenant(self.actor, tenant_id, Access.WRITE_AGENTS)


class TemplateDetailView(BaseTemplateDetailView, V1View):
    pass
