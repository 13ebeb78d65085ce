"""Views of an agent's config: as it was set, as it is in effect, and its versions."""

from __future__ import annotations

from typing import Any, ClassVar

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
    ConfigDiffQuerySerializer,
    ConfigDiffResponse,
    ConfigRestoreRequest,
    ConfigRestoreResponse,
    ConfigSchemaQuerySerializer,
    ConfigVersionDetailResponse,
    ConfigVersionListQuerySerializer,
    ConfigVersionPageQuerySerializer,
    ConfigVersionResponse,
    ConfigWriteQuerySerializer,
    EffectiveConfigQuerySerializer,
    EffectiveConfigResponse,
)
from agents.services import config_versions
from agents.services.config_writes import WriteOptions
from core import strict_json
from core.actor import TokenScope
from core.http import conditional
from core.http.fields import JSONObjectField
from core.http.operations import FromView, ListOf, operation
from core.http.preferences import warnings_header
from core.http.views import BaseView, V1View
from tenants.roles import Access

EXPLAINED = "-explained"
OPEN_OBJECT = {"application/json": {"type": "object", "additionalProperties": True}}


class _ConfigView(BaseView):
    def get_state(self, agent_id: str) -> ConfigState:
        """Return the state of the agent's layers. Raise AgentNotFound for an agent that the actor may not read."""
        state = effective_config.get_state(agent_id)
        check_agent(self.actor, state.tenant_id, Access.READ)
        return state


class BaseConfigView(_ConfigView):
    """An agent's own config."""

    @operation(
        "Read an agent's config as it was set, secrets masked",
        tag="config",
        token=TokenScope.READ,
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
        token=TokenScope.WRITE,
        request=OPEN_OBJECT,
        query=ConfigWriteQuerySerializer,
        response=MaskedConfigField(),
        errors=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def put(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.WRITE_AGENTS)
        query = self.validated_query(ConfigWriteQuerySerializer)
        write = WriteOptions(query.get("note"), query["replace"], self.if_match, self.is_strict)
        agent = services.update_agent(
            actor=self.actor, agent=agent, changes={"config": self._validated_object()}, config_write=write
        )
        return self.respond(
            masked(agent.config),
            message=_("Agent config changed"),
            tenant_id=agent.tenant_id,
            headers={**conditional.version_header(agent.config_version), **warnings_header(agent.config_warnings)},
        )

    def _validated_object(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object."""
        body = self.raw_data
        if not isinstance(body, dict):
            raise ParseError(_("The body must be a JSON object"))
        try:
            strict_json.check_depth(body)
        except strict_json.NotAcceptable as error:
            raise ParseError(str(error)) from error
        return body


class BaseEffectiveConfigView(_ConfigView):
    """An agent's effective config: that of all layers together."""

    query_class: ClassVar[type[EffectiveConfigQuerySerializer]]

    @operation(
        "Read an agent's effective config, and with `explain` why it is so",
        tag="config",
        token=TokenScope.READ,
        query=FromView("query_class"),
        response=EffectiveConfigResponse,
        errors=(404,),
        conditional=True,
    )
    def get(self, request: Request, agent_id: str) -> Response:
        return self.respond_masked(self.get_state(agent_id), explain=self.validated_query(self.query_class)["explain"])

    def respond_masked(self, state: ConfigState, *, explain: bool) -> Response:
        """Respond with the effective config, secrets masked."""
        suffix = EXPLAINED if explain else ""
        if conditional.is_unchanged(self.request._request, state.etag + suffix):
            return self.not_modified(state.etag + suffix)
        if explain:
            return self.respond_effective(*effective_config.explain_effective_config(state.agent_id), suffix=suffix)
        return self.respond_effective(effective_config.get_effective_config(state), None, suffix=suffix)

    def respond_effective(self, effective: ResolvedConfig, sources: dict[str, str] | None, *, suffix: str) -> Response:
        """Respond with an effective config. The suffix of its ETag tells its representations apart."""
        data = orjson.loads(effective.document)
        if sources is not None:
            data["sources"] = sources
        return self.respond(
            data,
            message=_("Effective config found"),
            tenant_id=effective.state.tenant_id,
            headers={"ETag": conditional.quoted(effective.etag + suffix)},
        )


class BaseConfigVersionListView(BaseView):
    query_class: ClassVar[type[ConfigVersionListQuerySerializer | ConfigVersionPageQuerySerializer]]

    @operation(
        "List the versions of an agent's config, newest first",
        tag="config",
        token=TokenScope.READ,
        query=FromView("query_class"),
        response=ListOf(ConfigVersionResponse),
        errors=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        rows = config_versions.VersionList(agent)
        return self.respond_list(
            rows,
            ConfigVersionResponse,
            self.validated_query(self.query_class),
            key="number",
            message=_("Config versions listed"),
            tenant_id=agent.tenant_id,
        )


class BaseConfigVersionDetailView(BaseView):
    @operation(
        "Read a version of an agent's config",
        tag="config",
        token=TokenScope.READ,
        response=ConfigVersionDetailResponse,
        errors=(404,),
    )
    def get(self, request: Request, agent_id: str, number: int) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        version = config_versions.get_version(agent, number)
        return self.respond(
            ConfigVersionDetailResponse(version).data, message=_("Config version found"), tenant_id=agent.tenant_id
        )


class BaseConfigDiffView(BaseView):
    @operation(
        "Compare two versions of an agent's config",
        tag="config",
        token=TokenScope.READ,
        query=ConfigDiffQuerySerializer,
        response=ConfigDiffResponse,
        errors=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        query = self.validated_query(ConfigDiffQuerySerializer)
        changes = config_versions.diff(agent, query["from"], query["to"])
        return self.respond(
            {**query, "changes": changes}, message=_("Config versions compared"), tenant_id=agent.tenant_id
        )


class BaseConfigRestoreView(BaseView):
    @operation(
        "Make a version the current config again, as a new version",
        tag="config",
        token=TokenScope.WRITE,
        request=ConfigRestoreRequest,
        response=ConfigRestoreResponse,
        errors=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.WRITE_AGENTS)
        body = self.validated_data(ConfigRestoreRequest)
        agent = config_versions.restore(
            actor=self.actor, agent=agent, expected=self.if_match, strict=self.is_strict, **body
        )
        return self.respond(
            ConfigRestoreResponse(agent).data,
            message=_("Config restored"),
            tenant_id=agent.tenant_id,
            headers={**conditional.version_header(agent.config_version), **warnings_header(agent.config_warnings)},
        )


class BaseConfigSchemaView(BaseView):
    @operation(
        "The JSON Schema of a config",
        tag="system",
        token=TokenScope.READ,
        query=ConfigSchemaQuerySerializer,
        response=JSONObjectField(),
        offline=True,
    )
    def get(self, request: Request) -> Response:
        version = self.validated_query(ConfigSchemaQuerySerializer)["version"]
        return self.respond(schema.json_schema(version), message=_("Config schema found"))


class AgentConfigView(BaseConfigView, V1View):
    pass


class EffectiveConfigView(BaseEffectiveConfigView, V1View):
    query_class = EffectiveConfigQuerySerializer


class ConfigVersionListView(BaseConfigVersionListView, V1View):
    query_class = ConfigVersionListQuerySerializer


class ConfigVersionDetailView(BaseConfigVersionDetailView, V1View):
    pass


class ConfigDiffView(BaseConfigDiffView, V1View):
    pass


class ConfigRestoreView(BaseConfigRestoreView, V1View):
    pass


class ConfigSchemaView(BaseConfigSchemaView, V1View):
    pass
