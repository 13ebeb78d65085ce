"""An agent's config behind either door: as it was set, as it is in effect, and as it was.

The classes here are doorless; v1's are at the end, v2's in `internal_api.views.config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from agent_config import schema
from agent_config.secrets import masked
from agents import effective_config, services
from agents.access import check_agent, get_agent
from agents.effective_config import ConfigState, ResolvedConfig
from agents.serializers.agents import MaskedConfigField
from agents.serializers.configs import (
    ConfigWriteQuerySerializer,
    DiffQuerySerializer,
    DiffResponse,
    EffectiveQuerySerializer,
    EffectiveResponse,
    RestoredResponse,
    RestoreRequest,
    VersionListQuerySerializer,
    VersionResponse,
    WholeVersionResponse,
)
from agents.services import config_versions
from agents.services.config_writes import WriteOptions
from core import strict_json
from core.http import conditional
from core.http.fields import JSONObjectField
from core.http.openapi import operation
from core.http.pagination import bare_list
from core.http.preferences import warnings_header
from core.http.views import BaseView, V1View
from tenants.access import Access

EXPLAINED = "-explained"
OPEN_OBJECT = {"application/json": {"type": "object", "additionalProperties": True}}


class _ConfigView(BaseView):
    def get_state(self, agent_id: str) -> ConfigState:
        """The state of the agent's layers, if the caller may read it; one query for whom every tenant is open to."""
        state = effective_config.get_state(agent_id)
        check_agent(self.actor, state.tenant_id, Access.READ)
        return state

    def sent_object(self) -> dict[str, Any]:
        """The body, which is a JSON object itself."""
        sent = self.raw_data
        if not isinstance(sent, dict):
            raise ParseError(_("The body must be a JSON object"))
        try:
            strict_json.check_depth(sent)
        except strict_json.NotAcceptable as error:
            raise ParseError(str(error)) from error
        return sent

    def config_write(self, query: Mapping[str, Any]) -> WriteOptions:
        """How the request wants its config written."""
        return WriteOptions(query.get("note"), query["replace"], self.if_match, self.is_strict)


class ConfigDocument(_ConfigView):
    """An agent's own config."""

    @operation(
        "Read an agent's config as it was set, secrets masked",
        tag="config",
        response=MaskedConfigField(),
        errors=(404,),
        conditional=True,
    )
    def get(self, request: Request, agent_id: str) -> Response:
        state = self.get_state(agent_id)
        if conditional.is_unchanged(request._request, str(state.config_version)):
            return self.not_modified(str(state.config_version))
        agent = get_agent(self.actor, agent_id, Access.READ)
        return self.respond(
            masked(agent.config),
            message=_("Agent config found"),
            tenant_id=agent.tenant_id,
            headers=conditional.version_header(agent.config_version),
        )

    @operation(
        "Merge into an agent's config, or replace it",
        tag="config",
        request=OPEN_OBJECT,
        query=ConfigWriteQuerySerializer,
        response=MaskedConfigField(),
        errors=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def put(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.WRITE_AGENTS)
        write = self.config_write(self.validated_query(ConfigWriteQuerySerializer))
        changes = {"config": self.sent_object()}
        agent = services.update_agent(actor=self.actor, agent=agent, changes=changes, config_write=write)
        return self.respond(
            masked(agent.config),
            message=_("Agent config changed"),
            tenant_id=agent.tenant_id,
            headers={**conditional.version_header(agent.config_version), **warnings_header(agent.config_warnings)},
        )


class EffectiveConfig(_ConfigView):
    """What an agent's config is in effect, over all layers."""

    @operation(
        "Read an agent's effective config, and with `explain` why it is so",
        tag="config",
        query=EffectiveQuerySerializer,
        response=EffectiveResponse,
        errors=(404,),
        conditional=True,
    )
    def get(self, request: Request, agent_id: str) -> Response:
        return self.shown(self.get_state(agent_id), explain=self.validated_query(EffectiveQuerySerializer)["explain"])

    def shown(self, state: ConfigState, *, explain: bool) -> Response:
        """The effective config with its secrets masked."""
        kind = EXPLAINED if explain else ""
        if conditional.is_unchanged(self.request._request, state.etag + kind):
            return self.not_modified(state.etag + kind)
        if explain:
            return self.document(*effective_config.explain_effective_config(state.agent_id), kind=kind)
        return self.document(effective_config.get_effective_config(state), None, kind=kind)

    def document(self, found: ResolvedConfig, sources: dict[str, str] | None, *, kind: str) -> Response:
        """An effective config; `kind` sets its ETag apart from those of its other forms."""
        data = orjson.loads(found.document)
        if sources is not None:
            data["sources"] = sources
        return self.respond(
            data,
            message=_("Effective config found"),
            tenant_id=found.state.tenant_id,
            headers={"ETag": conditional.quoted(found.etag + kind)},
        )


class ConfigVersion(_ConfigView):
    """One version."""

    @operation("Read a version of an agent's config", tag="config", response=WholeVersionResponse, errors=(404,))
    def get(self, request: Request, agent_id: str, number: int) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        version = config_versions.get_version(agent, number)
        return self.respond(
            WholeVersionResponse(version).data, message=_("Config version found"), tenant_id=agent.tenant_id
        )


class ConfigDiff(_ConfigView):
    """What is between two versions."""

    @operation(
        "Compare two versions of an agent's config",
        tag="config",
        query=DiffQuerySerializer,
        response=DiffResponse,
        errors=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        asked = self.validated_query(DiffQuerySerializer)
        changes = config_versions.diff(agent, asked["from"], asked["to"])
        return self.respond(
            {**asked, "changes": changes}, message=_("Config versions compared"), tenant_id=agent.tenant_id
        )


class ConfigRestoring(_ConfigView):
    """Going back."""

    @operation(
        "Make a version the current config again, as a new version",
        tag="config",
        request=RestoreRequest,
        response=RestoredResponse,
        errors=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.WRITE_AGENTS)
        body = self.validated_data(RestoreRequest)
        agent = config_versions.restore(
            actor=self.actor, agent=agent, expected=self.if_match, strict=self.is_strict, **body
        )
        return self.respond(
            RestoredResponse(agent).data,
            message=_("Config restored"),
            tenant_id=agent.tenant_id,
            headers={**conditional.version_header(agent.config_version), **warnings_header(agent.config_warnings)},
        )


class ConfigSchema(BaseView):
    """What a config may contain."""

    @operation("The JSON Schema of a config", tag="system", response=JSONObjectField(), offline=True)
    def get(self, request: Request) -> Response:
        return self.respond(schema.json_schema(), message=_("Config schema found"))


class AgentConfig(ConfigDocument, V1View):
    pass


class AgentEffectiveConfig(EffectiveConfig, V1View):
    pass


class AgentConfigVersions(V1View):
    @operation(
        "List the versions of an agent's config, newest first",
        tag="config",
        query=VersionListQuerySerializer,
        response=VersionResponse(many=True),
        errors=(404,),
        total_count=True,
    )
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        rows = config_versions.versions_of(agent)
        return bare_list(rows, VersionResponse, key="number", **self.validated_query(VersionListQuerySerializer))


class AgentConfigVersion(ConfigVersion, V1View):
    pass


class AgentConfigDiff(ConfigDiff, V1View):
    pass


class AgentConfigRestoring(ConfigRestoring, V1View):
    pass


class AgentConfigSchema(ConfigSchema, V1View):
    pass
