"""Serializers of configs: versions, layers, templates and the change feed."""

from __future__ import annotations

from typing import Any

import orjson
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agent_config import schema
from agent_config.document import Config
from agent_config.secrets import masked
from agents.config_warnings import find_template_warnings, get_listed_template_warnings, parsed_later
from agents.models import Template
from agents.serializers.agents import (
    ConfigWarningResponse,
    MaskedConfigField,
    listed_warnings_field,
    masked_json,
    with_warnings,
)
from core.http.fields import (
    ChoiceField,
    FlagParameter,
    JSONObjectField,
    NumberCursor,
    NumberParameter,
    PageQuerySerializer,
    QuerySerializer,
    RequestSerializer,
    SliceQuerySerializer,
    StrictCharField,
    StrictIntegerField,
    UTCDateTimeField,
    description_field,
    id_field,
    name_field,
)
from core.http.responses import utc_text

MAX_NOTE_LENGTH = 500
MAX_VERSION = 2**31 - 1
MAX_CHANGES = 1000


class ConfigWriteQuerySerializer(QuerySerializer):
    note = serializers.CharField(required=False, max_length=MAX_NOTE_LENGTH, help_text="Why; kept with the version.")
    replace = FlagParameter(help_text="1: in place of the stored config, not merged into it.")


class ConfigSchemaQuerySerializer(QuerySerializer):
    version = ChoiceField(schema.NAMES, default=schema.DEFAULT)


class EffectiveConfigQuerySerializer(QuerySerializer):
    explain = FlagParameter(help_text="1: also `sources`, the layer that each leaf comes from.")


class InternalEffectiveConfigQuerySerializer(EffectiveConfigQuerySerializer):
    reveal_secrets = FlagParameter(help_text="1: with the secrets themselves; the audit log tells of it.")


class EffectiveConfigResponse(serializers.Serializer[Any]):
    version = serializers.IntegerField(help_text="The agent's own.")
    config = JSONObjectField()
    warnings = ConfigWarningResponse(many=True)
    sources = serializers.DictField(
        child=serializers.ChoiceField(["default", "template", "tenant", "agent"]),
        required=False,
        help_text="With `explain`: JSON pointer of each leaf to its layer.",
    )


@extend_schema_field(OpenApiTypes.OBJECT)
class PatchOperationField(serializers.Field):  # type: ignore[type-arg]  # generic in the stubs only
    """One operation of a JSON patch (RFC 6902)."""

    def to_representation(self, value: Any) -> Any:
        return value


class PatchField(serializers.ListField):
    """A JSON patch (RFC 6902), not copied, because a page of patches has hundreds of thousands of operations."""

    child = PatchOperationField()

    def to_representation(self, value: Any) -> Any:
        return value


class ConfigVersionResponse(serializers.Serializer[Any]):
    version = serializers.IntegerField(source="number")
    created_at = UTCDateTimeField()
    author = serializers.CharField(source="author_name")
    note = serializers.CharField(allow_null=True)
    changes = PatchField(source="patch", help_text="What changed, as a JSON patch without secrets.")


class ConfigVersionDetailResponse(ConfigVersionResponse):
    config = MaskedConfigField()


class VersionCursor(NumberCursor):
    """The number of a version, or an empty text for the beginning."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            max_value=MAX_VERSION,
            help_text="In order: what comes after this version, the last that was read. Empty: from the beginning.",
            **options,
        )


class ConfigVersionListQuerySerializer(SliceQuerySerializer):
    after = VersionCursor()


class ConfigVersionPageQuerySerializer(PageQuerySerializer):
    after = VersionCursor()


class ConfigDiffQuerySerializer(QuerySerializer):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # Not as attributes of the class, because `from` is a word of Python's own.
        return {
            "from": NumberParameter(min_value=1, max_value=MAX_VERSION, help_text="A version."),
            "to": NumberParameter(min_value=1, max_value=MAX_VERSION, help_text="The version to compare it with."),
        }


class ConfigDiffResponse(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            "from": serializers.IntegerField(),
            "to": serializers.IntegerField(),
            "changes": PatchField(help_text="A JSON patch without secrets."),
        }


class ConfigRestoreRequest(RequestSerializer):
    version = StrictIntegerField(min_value=1, max_value=MAX_VERSION)
    note = StrictCharField(max_length=MAX_NOTE_LENGTH, required=False, allow_blank=True)


class ConfigRestoreResponse(serializers.Serializer[Any]):
    version = serializers.IntegerField(source="config_version")
    config = MaskedConfigField()


class ConfigChangeListQuerySerializer(QuerySerializer):
    after = serializers.CharField(
        required=False, max_length=100, help_text="The last cursor; without one, the answer is where to begin."
    )
    limit = NumberParameter(min_value=1, max_value=MAX_CHANGES, default=100)


class ConfigChangeResponse(serializers.Serializer[Any]):
    agent_id = serializers.CharField()
    tenant_id = serializers.CharField(allow_null=True)
    deleted = serializers.BooleanField()
    status = serializers.CharField(allow_null=True)
    config_version = serializers.IntegerField(allow_null=True)


class ConfigChangeListResponse(serializers.Serializer[Any]):
    items = ConfigChangeResponse(many=True)
    cursor = serializers.CharField()
    has_more = serializers.BooleanField()


class TemplateCreateRequest(RequestSerializer):
    """The body that creates a template of a tenant in v1, by default of the caller's first tenant."""

    name = name_field()
    description = description_field()
    config = JSONObjectField(required=False)
    tenant_id = id_field(required=False)


class InternalTemplateCreateRequest(TemplateCreateRequest):
    """The body that creates a template in v2: without a `tenant_id` one for everybody, whose id may be chosen."""

    template_id = id_field(required=False)


class TemplateUpdateRequest(RequestSerializer):
    clearable = frozenset({"description"})

    name = name_field(required=False)
    description = description_field()
    config = JSONObjectField(required=False)


class TemplateWriteQuerySerializer(QuerySerializer):
    dry_run = FlagParameter(help_text="1: only say how many agents it would change.")
    replace = FlagParameter(help_text="1: the config in place of the stored one, not merged into it.")


class TemplateDeletionQuerySerializer(QuerySerializer):
    dry_run = FlagParameter(help_text="1: only say how many agents it would change.")


class TemplateListQuerySerializer(SliceQuerySerializer):
    tenant_id = serializers.CharField(required=False, max_length=50)


class TemplatePageQuerySerializer(PageQuerySerializer):
    tenant_id = serializers.CharField(required=False, max_length=50)


def template_shown(template: Template, config: Config | orjson.Fragment) -> dict[str, Any]:
    """Return the representation of a template with its masked config."""
    return {
        "id": template.id,
        "template_id": template.id,
        "tenant_id": template.tenant_id,
        "name": template.name,
        "description": template.description,
        "config": config,
        "created_at": utc_text(template.created_at),
        "updated_at": utc_text(template.updated_at),
        "revision": template.revision,
    }


class TemplateListItemResponse(serializers.Serializer[Any]):
    """A template in a list."""

    # The fields are for the OpenAPI document only, as in AgentListItemResponse.

    id = serializers.CharField()
    template_id = serializers.CharField(source="id")
    tenant_id = serializers.CharField(allow_null=True, help_text="Null: an operator's, for everybody.")
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    config = MaskedConfigField()
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()
    revision = serializers.IntegerField()
    config_warnings = listed_warnings_field()

    def to_representation(self, instance: Any) -> dict[str, Any]:
        warnings = get_listed_template_warnings(instance, parsed_later(instance.config_json))
        return with_warnings(template_shown(instance, masked_json(instance.config_json)), warnings)


class TemplateResponse(TemplateListItemResponse):
    """A template."""

    config_warnings = ConfigWarningResponse(many=True)

    def to_representation(self, instance: Template) -> dict[str, Any]:
        find_template_warnings(instance)
        return with_warnings(template_shown(instance, masked(instance.config)), instance.config_warnings)


class TemplateWriteResponse(serializers.Serializer[Any]):
    """The template that was changed, or would be, and the number of agents that use it."""

    template = TemplateResponse()
    agents = serializers.IntegerField()
    dry_run = serializers.BooleanField()


class TemplateDeletionResponse(serializers.Serializer[Any]):
    id = serializers.CharField()
    agents = serializers.IntegerField()
    dry_run = serializers.BooleanField()
