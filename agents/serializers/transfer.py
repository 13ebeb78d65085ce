"""Serializers of duplicated, exported and imported agents."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agent_config import schema
from agents.serializers.agents import (
    AgentResponse,
    ConfigWarningResponse,
    InternalAgentResponse,
    PluginRequest,
    tags_field,
)
from agents.serializers.configs import MAX_NOTE_LENGTH
from agents.services.plugins import MAX_PLUGINS
from agents.services.transfer import FORMAT
from core.http.fields import (
    BoundedListField,
    ChoiceField,
    FlagParameter,
    JSONObjectField,
    QuerySerializer,
    RequestSerializer,
    StrictCharField,
    StrictIntegerField,
    description_field,
    id_field,
    name_field,
)

FORMATS = ("json", "toml")
_AGENT_HELP = "Null for a dry run, in which nothing was found wrong."


class AgentDuplicateRequest(RequestSerializer):
    name = name_field(required=False, help_text="By default the agent's own, and (copy).")
    note = StrictCharField(
        max_length=MAX_NOTE_LENGTH, required=False, allow_blank=True, help_text="Why; kept with the first version."
    )


class AgentExportQuerySerializer(QuerySerializer):
    format = ChoiceField(FORMATS, default="json")


class InternalAgentExportQuerySerializer(AgentExportQuerySerializer):
    reveal_secrets = FlagParameter(help_text="1: with the secrets themselves; the audit log tells of it.")


class AgentExportDocument(RequestSerializer):
    """An exported agent: all of its settings except its keys and limits."""

    maim_export = StrictIntegerField(min_value=FORMAT, max_value=FORMAT, help_text="The format of this file.")
    name = name_field()
    description = description_field()
    tags = tags_field()
    template_id = id_field(required=False)
    config_schema = ChoiceField(schema.NAMES, required=False)
    config = JSONObjectField(required=False)
    plugins = BoundedListField(child=PluginRequest(), max_length=MAX_PLUGINS, required=False)


class AgentImportQuerySerializer(QuerySerializer):
    dry_run = FlagParameter(help_text="1: only say whether it would work.")
    tenant_id = serializers.CharField(
        required=False, max_length=50, help_text="Whose agent it becomes; by default the caller's first tenant's."
    )


class InternalAgentImportQuerySerializer(AgentImportQuerySerializer):
    tenant_id = serializers.CharField(max_length=50)


class AgentImportResponse(serializers.Serializer[Any]):
    """The result of an import in v1."""

    dry_run = serializers.BooleanField()
    agent: serializers.Serializer[Any] = AgentResponse(allow_null=True, help_text=_AGENT_HELP)
    config_warnings = ConfigWarningResponse(many=True)


class InternalAgentImportResponse(AgentImportResponse):
    """The result of an import in v2."""

    agent = InternalAgentResponse(allow_null=True, help_text=_AGENT_HELP)
