"""The shapes in which agents are duplicated, exported and imported."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agents.serializers.agents import AgentAnswer, InternalAgentAnswer, NoticeAnswer, PluginBody, tags_field
from agents.serializers.configs import MAX_NOTE_LENGTH
from agents.services.plugins import MAX_PLUGINS
from agents.services.transfer import FORMAT
from core.http.fields import (
    Body,
    BoundedListField,
    ChoiceField,
    FlagParameter,
    JSONObjectField,
    Query,
    StrictCharField,
    StrictIntegerField,
    description_field,
    id_field,
    name_field,
)

FORMATS = ("json", "toml")


class DuplicateBody(Body):
    name = name_field(required=False, help_text="By default the agent's own, and (copy).")
    note = StrictCharField(
        max_length=MAX_NOTE_LENGTH, required=False, allow_blank=True, help_text="Why; kept with the first version."
    )


class ExportQuery(Query):
    format = ChoiceField(FORMATS, default="json")


class InternalExportQuery(ExportQuery):
    reveal_secrets = FlagParameter(help_text="1: with the secrets themselves; the audit log tells of it.")


class ExportBody(Body):
    """An agent as a file holds it: what it was set up with, but for its keys and limits."""

    maim_export = StrictIntegerField(min_value=FORMAT, max_value=FORMAT, help_text="The format of this file.")
    name = name_field()
    description = description_field()
    tags = tags_field()
    template_id = id_field(required=False)
    config = JSONObjectField(required=False)
    plugins = BoundedListField(child=PluginBody(), max_length=MAX_PLUGINS, required=False)


class ImportQuery(Query):
    dry_run = FlagParameter(help_text="1: only say whether it would work.")
    tenant_id = serializers.CharField(
        required=False, max_length=50, help_text="Whose agent it becomes; by default the caller's first tenant's."
    )


class InternalImportQuery(ImportQuery):
    tenant_id = serializers.CharField(max_length=50)


class ImportAnswer(serializers.Serializer[Any]):
    """v1's."""

    dry_run = serializers.BooleanField()
    agent = AgentAnswer(allow_null=True, help_text="Null where it was a dry run, in which nothing was found wrong.")
    config_warnings = NoticeAnswer(many=True)


class InternalImportAnswer(serializers.Serializer[Any]):
    """v2's."""

    dry_run = serializers.BooleanField()
    agent = InternalAgentAnswer(
        allow_null=True, help_text="Null where it was a dry run, in which nothing was found wrong."
    )
    config_warnings = NoticeAnswer(many=True)
