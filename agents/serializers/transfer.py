"""Serializers of duplicated, exported and imported agents."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agent_config import schema
from agents.serializers.agents import (
    AgentResponse,
    ConfigWarningResponse,
    InternalAgentResponse,
    MaskedConfigField,
    PluginRequest,
    tags_field,
)
from agents.serializers.configs import MAX_NOTE_LENGTH, PatchField
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
MAIBOT = "maibot"
MAX_FILE_LENGTH = 128 * 1024  # characters; the parser takes up to half a second for so many
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


class MaiBotImportRequest(RequestSerializer):
    """The bot's own files, from which an agent is made."""

    format = ChoiceField([MAIBOT])
    bot = StrictCharField(
        max_length=MAX_FILE_LENGTH, required=False, allow_blank=True, trim_whitespace=False, help_text="bot_config.toml"
    )
    model = StrictCharField(
        max_length=MAX_FILE_LENGTH,
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="model_config.toml",
    )
    name = name_field()
    description = description_field()
    tags = tags_field()
    template_id = id_field(required=False)
    tenant_id = id_field(required=False, help_text="Whose agent it becomes, in place of the query's.")


class AgentImportQuerySerializer(QuerySerializer):
    dry_run = FlagParameter(help_text="1: only say whether it would work.")
    tenant_id = serializers.CharField(
        required=False, max_length=50, help_text="Whose agent it becomes; by default the caller's first tenant's."
    )


class InternalAgentImportQuerySerializer(AgentImportQuerySerializer):
    tenant_id = serializers.CharField(
        required=False, max_length=50, help_text="Whose agent it becomes. Required, unless the body has it."
    )


class ImportReportResponse(serializers.Serializer[Any]):
    """The differences between the bot's files and the agent's config."""

    config_schema = serializers.CharField(source="schema_name", help_text="By the version that the files name.")
    repairs = ConfigWarningResponse(many=True, help_text="Values that were changed to be of their field's type.")
    left_out = ConfigWarningResponse(many=True, help_text="Values that no config may have.")
    unknown = serializers.ListField(
        child=serializers.CharField(), help_text="The paths of what the schema does not know, which is kept."
    )


class ImportPreviewResponse(serializers.Serializer[Any]):
    """The effects that an import would have."""

    config = MaskedConfigField(help_text="The config that would be stored.")
    changes = PatchField(help_text="The changes that it makes in the layers below, as a JSON patch.")


class AgentImportResponse(serializers.Serializer[Any]):
    """The result of an import in v1."""

    dry_run = serializers.BooleanField()
    agent: serializers.Serializer[Any] = AgentResponse(allow_null=True, help_text=_AGENT_HELP)
    config_warnings = ConfigWarningResponse(many=True)
    report = ImportReportResponse(allow_null=True, help_text="Of the bot's files; null for an exported file.")
    preview = ImportPreviewResponse(allow_null=True, help_text="With `dry_run` only.")


class InternalAgentImportResponse(AgentImportResponse):
    """The result of an import in v2."""

    agent = InternalAgentResponse(allow_null=True, help_text=_AGENT_HELP)
