from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from rest_framework import serializers
from rest_framework.fields import empty

from agent_config.document import Config
from agent_config.schema import ConfigWarning
from agent_config.secrets import masked
from agents.config_warnings import (
    MAX_LISTED_VALUES,
    StoredConfig,
    find_warnings,
    get_listed_warnings,
    get_warnings,
    parsed_later,
)
from agents.effective_config import get_states
from agents.listing import ListedAgent
from agents.models import Agent, AgentStatus
from agents.services.plugins import revealed
from core.fields import ID_LENGTH
from core.http.fields import (
    NAME_LENGTH,
    BoundedListField,
    ChoiceField,
    JSONObjectField,
    OptionalCursorQuerySerializer,
    QuerySerializer,
    RequestSerializer,
    SliceQuerySerializer,
    StrictBooleanField,
    StrictCharField,
    UTCDateTimeField,
    description_field,
    id_field,
    name_field,
)
from core.http.limit_fields import QuotaField, RateLimitField
from core.http.responses import utc_text
from tenants.serializers import config_schema_field

MAX_PLUGIN_ID_LENGTH = 2 * ID_LENGTH + NAME_LENGTH + len("ps___")


def tags_field() -> serializers.ListField:
    return BoundedListField(child=StrictCharField(max_length=64), max_length=50, required=False)


class TemplateIdField(StrictCharField):
    """The id of a template. A blank text means none, so that a change can detach the template."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=ID_LENGTH, required=False, allow_blank=True, **options)

    def run_validation(self, data: Any = empty) -> Any:
        template_id = super().run_validation(data)
        return template_id or None


_SCHEMA_HELP = "The schema of its config, by default the tenant's."


class AgentCreateRequest(RequestSerializer):
    """The body that creates an agent in v1, by default in the caller's first tenant."""

    name = name_field()
    description = description_field()
    config = JSONObjectField(required=False)
    config_schema = config_schema_field(_SCHEMA_HELP)
    template_id = TemplateIdField()
    tags = tags_field()
    tenant_id = id_field(required=False)
    rate_limit = RateLimitField(required=False)
    quota = QuotaField(required=False)


class InternalAgentCreateRequest(AgentCreateRequest):
    """The body that creates an agent in v2."""

    tenant_id = id_field()


class AgentUpdateRequest(RequestSerializer):
    """Changes of an agent. Null leaves a field as it is; `""`, `[]` and `{}` empty it."""

    name = name_field(required=False)
    description = description_field()
    config = JSONObjectField(required=False)
    config_schema = config_schema_field(_SCHEMA_HELP)
    template_id = TemplateIdField(help_text='"" detaches the template.')
    tags = tags_field()
    status = ChoiceField(AgentStatus.choices, required=False)
    rate_limit = RateLimitField(required=False, empties=True, help_text="`{}` takes it off.")
    quota = QuotaField(required=False, empties=True, help_text="`{}` takes it off.")


class AgentListQuerySerializer(SliceQuerySerializer):
    q = serializers.CharField(required=False, max_length=100, help_text="Part of the name.")
    status = ChoiceField(AgentStatus.choices, required=False)
    tenant_id = serializers.CharField(required=False, max_length=50)
    sort = ChoiceField(
        ["created_at", "-created_at", "name", "-name"], required=False, help_text="By default `-created_at`."
    )


class MaskedConfigField(JSONObjectField):
    """A config with its secrets masked."""

    def to_representation(self, value: Any) -> Any:
        return masked(value)


def masked_json(config_json: str) -> orjson.Fragment:
    """Return stored JSON with its secrets masked, for the renderer."""
    return orjson.Fragment(orjson.dumps(masked(orjson.loads(config_json))))


def public_agent(agent: Agent | ListedAgent, config: Config | orjson.Fragment) -> dict[str, Any]:
    """Return v1's representation of an agent with its masked config."""
    return {
        "id": agent.id,
        "tenant_id": agent.tenant_id,
        "name": agent.name,
        "description": agent.description,
        "config": config,
        "template_id": agent.template_id,
        "status": agent.status,
        "tags": agent.tags,
        "created_at": utc_text(agent.created_at),
        "updated_at": utc_text(agent.updated_at),
        "config_schema": agent.config_schema,
        "rate_limit": agent.rate_limit,
        "quota": agent.quota,
        "revision": agent.revision,
    }


def internal_agent(agent: Agent, config: Config | orjson.Fragment) -> dict[str, Any]:
    """Return v2's representation of an agent with its masked config."""
    return {
        "id": agent.id,
        "agent_id": agent.id,
        "tenant_id": agent.tenant_id,
        "name": agent.name,
        "description": agent.description,
        "template_id": agent.template_id,
        "config": config,
        "status": agent.status,
        "created_at": utc_text(agent.created_at),
        "updated_at": utc_text(agent.updated_at),
        "tags": agent.tags,
        "config_schema": agent.config_schema,
        "rate_limit": agent.rate_limit,
        "quota": agent.quota,
        "revision": agent.revision,
    }


class ConfigWarningResponse(serializers.Serializer[Any]):
    path = serializers.CharField()
    message = serializers.CharField()


def with_warnings(shown: dict[str, Any], warnings: Sequence[ConfigWarning] | None) -> dict[str, Any]:
    """Return a row's representation with the warnings about its config."""
    return {**shown, "config_warnings": notices_shown(warnings)}


def notices_shown(notices: Sequence[ConfigWarning] | None) -> list[dict[str, str]] | None:
    """Return warnings as they are shown; None where nobody looked."""
    return None if notices is None else [notice._asdict() for notice in notices]


def listed_warnings_field() -> ConfigWarningResponse:
    return ConfigWarningResponse(
        many=True,
        allow_null=True,
        help_text="Null where the config is too large for a list, "
        f"of more than {MAX_LISTED_VALUES} values, or objects and lists.",
    )


class AgentListItemResponse(serializers.Serializer[Any]):
    """An agent in v1's list."""

    # The fields are for the OpenAPI document only, because DRF takes milliseconds to serialize twenty agents by them.

    id = serializers.CharField()
    tenant_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    config = MaskedConfigField()
    template_id = serializers.CharField(allow_null=True)
    status = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()
    config_schema = serializers.CharField(allow_null=True)
    rate_limit = RateLimitField(allow_null=True)
    quota = QuotaField(allow_null=True)
    revision = serializers.IntegerField()
    config_warnings = listed_warnings_field()

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return with_warnings(public_agent(instance, masked_json(instance.config)), instance.config_warnings)


class AgentResponse(AgentListItemResponse):
    """An agent in v1."""

    config_warnings = ConfigWarningResponse(many=True)

    def to_representation(self, instance: Agent | ListedAgent) -> dict[str, Any]:
        if isinstance(instance, ListedAgent):
            shown = public_agent(instance, masked_json(instance.config))
            return with_warnings(shown, get_warnings(instance.stored_config))
        find_warnings(instance)
        return with_warnings(public_agent(instance, masked(instance.config)), instance.config_warnings)


class _AgentsWithWarnings(serializers.ListSerializer[Any]):
    """v2's agents, whose configs are looked at together."""

    def to_representation(self, data: Any) -> list[dict[str, Any]]:
        states = get_states([agent.id for agent in data])
        there = [agent for agent in data if agent.id in states]  # without those that were deleted since
        warnings = get_listed_warnings(
            [StoredConfig(states[agent.id], agent.revision, parsed_later(agent.config_json)) for agent in there]
        )
        return [
            with_warnings(internal_agent(agent, masked_json(agent.config_json)), each)
            for agent, each in zip(there, warnings, strict=True)
        ]


class InternalAgentListItemResponse(serializers.Serializer[Any]):
    """An agent in v2's list."""

    # The fields are for the OpenAPI document only, as in AgentListItemResponse.

    id = serializers.CharField()
    agent_id = serializers.CharField(source="id")
    tenant_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    template_id = serializers.CharField(allow_null=True)
    config = MaskedConfigField()
    status = serializers.CharField()
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()
    tags = serializers.ListField(child=serializers.CharField())
    config_schema = serializers.CharField(allow_null=True)
    rate_limit = RateLimitField(allow_null=True)
    quota = QuotaField(allow_null=True)
    revision = serializers.IntegerField()
    config_warnings = listed_warnings_field()

    class Meta:
        list_serializer_class = _AgentsWithWarnings


class InternalAgentResponse(InternalAgentListItemResponse):
    """An agent in v2."""

    config_warnings = ConfigWarningResponse(many=True)

    def to_representation(self, instance: Agent) -> dict[str, Any]:
        find_warnings(instance)
        return with_warnings(internal_agent(instance, masked(instance.config)), instance.config_warnings)


class AgentDeletionResponse(serializers.Serializer[Any]):
    id = serializers.CharField()


class PluginRequest(RequestSerializer):
    plugin_name = name_field()
    enabled = StrictBooleanField()
    config = JSONObjectField(required=False)


class PluginCursorQuerySerializer(OptionalCursorQuerySerializer):
    after = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        max_length=MAX_PLUGIN_ID_LENGTH,
        help_text="What comes after the setting with this id, the last that was read. Empty: from the beginning.",
    )


class PluginQuerySerializer(QuerySerializer):
    agent_id = serializers.CharField(required=False, max_length=50)
    tenant_id = serializers.CharField(
        required=False, max_length=50, help_text="Where no agent is named; by default the caller's first tenant."
    )


class InternalPluginQuerySerializer(QuerySerializer):
    tenant_id = serializers.CharField(max_length=50)
    agent_id = serializers.CharField(required=False, max_length=50)


class PluginListQuerySerializer(PluginQuerySerializer, PluginCursorQuerySerializer):
    pass


class InternalPluginListQuerySerializer(InternalPluginQuerySerializer, PluginCursorQuerySerializer):
    pass


class PluginResponse(serializers.Serializer[Any]):
    id = serializers.CharField(source="public_id")
    tenant_id = serializers.CharField()
    agent_id = serializers.CharField(allow_null=True)
    plugin_name = serializers.CharField()
    enabled = serializers.BooleanField()
    config = MaskedConfigField()
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()
    revision = serializers.IntegerField()


class RevealedConfigField(JSONObjectField):
    """A plugin setting's config with its secrets, which the bots need."""

    def to_representation(self, value: Any) -> Any:
        return revealed(value)


class InternalPluginResponse(PluginResponse):
    config = RevealedConfigField()  # type: ignore[assignment]  # the same with another representation


class ProviderResponse(serializers.Serializer[Any]):
    name = serializers.CharField()
    client_type = serializers.CharField()
    base_url = serializers.CharField(allow_null=True)
    is_server_provider = serializers.BooleanField()


class ModelsResponse(serializers.Serializer[Any]):
    providers = ProviderResponse(many=True)
    models = serializers.ListField(child=serializers.DictField())
    defaults = serializers.DictField()
