"""The shapes in which agents are duplicated, exported and imported."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agents.serializers.agents import AgentResponse, InternalAgentResponse, NoticeResponse, PluginRequest, tags_field
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


class DuplicateRequest(RequestSerializer):
    name = name_field(required=False, help_text="By default the agent's own, and (copy).")
    note = StrictCharField(
        max_length=MAX_NOTE_LENGTH, required=False, allow_blank=True, help_text="Why; kept with the first version."
    )


class ExportQuerySerializer(QuerySerializer):
    format = ChoiceField(FORMATS, default="json")


class InternalExportQuerySerializer(ExportQuerySerializer):
    reveal_secrets = FlagParameter(help_text="1: with the secrets themselves; the audit log tells of it.")


class ExportDocument(RequestSerializer):
    """An agent as a file holds it: what it was set up with, but for its keys and limits."""

    maim_export = StrictIntegerField(min_value=FORMAT, max_value=FORMAT, help_text="The format of this file.")
    name = name_field()
    description = description_field()
    tags = tags_field()
    template_id = id_field(required=False)
    config = JSONObjectField(required=False)
    plugins = BoundedListField(child=PluginRequest(), max_length=MAX_PLUGINS, required=False)


class ImportQuerySerializer(QuerySerializer):
    dry_run = FlagParameter(help_text="1: only say whether it would work.")
    tenant_id = serializers.CharField(
        required=False, max_length=50, help_text="Whose agent it becomes; by default the caller's first tenant's."
    )


class InternalImportQuerySerializer(ImportQuerySerializer):
    tenant_id = serializers.CharField(max_length=50)


class ImportResponse(serializers.Serializer[Any]):
    """v1's."""

    dry_run = serializers.BooleanField()
    agent = AgentResponse(allow_null=True, help_text="Null where it was a dry run, in which nothing was found wrong.")
    config_warnings = NoticeResponse(many=True)


class InternalImportResponse(serializers.Serializer[Any]):
    """v2's."""

    dry_run = serializers.BooleanField()
    agent = InternalAgentResponse(
        allow_null=True, help_text="Null where it was a dry run, in which nothing was found wrong."
    )
    config_warnings = NoticeResponse(many=True)
