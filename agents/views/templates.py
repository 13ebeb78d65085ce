"""Templates behind either door. The classes here are doorless; v1's are at the end."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents.config_warnings import find_template_warnings
from agents.serializers.configs import (
    ListedTemplateResponse,
    TemplateCreateRequest,
    TemplateDeletionQuerySerializer,
    TemplateDeletionResponse,
    TemplateListQuerySerializer,
    TemplateResponse,
    TemplateUpdateRequest,
    TemplateWriteQuerySerializer,
    TemplateWriteResponse,
)
from agents.services import templates
from core.http import conditional
from core.http.openapi import operation
from core.http.pagination import bare_list
from core.http.preferences import warnings_header
from core.http.views import BaseView, V1View
from core.revisions import check_revision
from tenants.access import Access, default_tenant, get_tenant


class TemplateDocument(BaseView):
    """One template."""

    @operation("Read a template", tag="templates", response=TemplateResponse, errors=(404,), conditional=True)
    def get(self, request: Request, template_id: str) -> Response:
        template = templates.get_template(self.actor, template_id, Access.READ)
        return self.respond_conditionally(
            template, TemplateResponse, message=_("Template found"), tenant_id=template.tenant_id
        )

    @operation(
        "Change a template, and with it all agents that use it; or say how many those are",
        tag="templates",
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


class Templates(V1View):
    @operation(
        "List the templates one may use: the operators', and those of one's tenants",
        tag="templates",
        query=TemplateListQuerySerializer,
        response=ListedTemplateResponse(many=True),
        total_count=True,
    )
    def get(self, request: Request) -> Response:
        query = self.validated_query(TemplateListQuerySerializer)
        rows = templates.templates_for(self.actor)
        if "tenant_id" in query:
            rows = rows.filter(tenant_id=query["tenant_id"])
        return bare_list(
            rows, ListedTemplateResponse, skip=query["skip"], limit=query["limit"], after=query.get("after")
        )

    @operation(
        "Create a template of one's tenant",
        tag="templates",
        request=TemplateCreateRequest,
        response=TemplateResponse,
        errors=(404, 409),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        body = self.validated_data(TemplateCreateRequest)
        named = body.pop("tenant_id", None)
        tenant = (
            default_tenant(self.actor, Access.WRITE_AGENTS)
            if named is None
            else get_tenant(self.actor, named, Access.WRITE_AGENTS)
        )
        template = templates.create_template(actor=self.actor, tenant=tenant, strict=self.is_strict, **body)
        headers = warnings_header(template.config_warnings)
        return self.respond_revised(TemplateResponse(template).data, message=_("Template created"), headers=headers)


class Template(TemplateDocument, V1View):
    pass
