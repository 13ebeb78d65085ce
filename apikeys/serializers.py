from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apikeys import keyformat
from apikeys.models import ApiKey, KeyStatus
from apikeys.services import MAX_PERMISSIONS, PERMISSION, IssuedKey
from maim.common import clock
from maim.http.fields import (
    MAX_PAGE,
    Body,
    NumberParameter,
    Query,
    SliceQuery,
    StrictCharField,
    UTCDateTimeField,
    description_field,
    id_field,
    name_field,
)


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": f"^{PERMISSION.pattern}$"},
        "maxItems": MAX_PERMISSIONS,
    }
)
class PermissionsField(serializers.ListField):
    """A list of texts. What a permission may be is KEY_005's to say, not the shape's."""

    child = StrictCharField(trim_whitespace=False, allow_blank=True)


class AgentKeyBody(Body):
    """v1's, under an agent."""

    name = name_field()
    description = description_field()
    permissions = PermissionsField(required=False)
    expires_at = UTCDateTimeField(required=False)


class KeyBody(AgentKeyBody):
    """v2's."""

    tenant_id = id_field()
    agent_id = id_field()


class KeyChanges(Body):
    clearable = frozenset({"description", "expires_at"})

    name = name_field(required=False)
    description = description_field()
    permissions = PermissionsField(required=False)
    expires_at = UTCDateTimeField(required=False)
    status = serializers.ChoiceField(KeyStatus.choices, required=False)


class AgentKeyListQuery(SliceQuery):
    q = serializers.CharField(required=False, max_length=100, help_text="Part of the name.")
    status = serializers.ChoiceField(KeyStatus.choices, required=False)


class KeyPageQuery(Query):
    tenant_id = serializers.CharField(max_length=50)
    agent_id = serializers.CharField(required=False, max_length=50)
    status = serializers.ChoiceField(KeyStatus.choices, required=False)
    page = NumberParameter(min_value=1, max_value=MAX_PAGE, default=1)
    page_size = NumberParameter(min_value=1, max_value=100, default=20)


class _KeyAnswer(serializers.Serializer[Any]):
    def get_status(self, key: ApiKey) -> str:
        return key.status_at(clock.now()).value

    def get_api_key(self, key: ApiKey) -> str:
        return keyformat.masked(key.newest_secrets[0].hint)


class AgentKeyAnswer(_KeyAnswer):
    """v1's key."""

    id = serializers.CharField()
    tenant_id = serializers.CharField()
    agent_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    api_key = serializers.SerializerMethodField()
    permissions = serializers.ListField(child=serializers.CharField())
    status = serializers.SerializerMethodField()
    created_at = UTCDateTimeField()
    last_used_at = UTCDateTimeField(allow_null=True)
    expires_at = UTCDateTimeField(allow_null=True)
    usage_count = serializers.IntegerField()


class KeyAnswer(_KeyAnswer):
    """v2's key."""

    api_key_id = serializers.CharField(source="id")
    tenant_id = serializers.CharField()
    agent_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    api_key = serializers.SerializerMethodField()
    permissions = serializers.ListField(child=serializers.CharField())
    status = serializers.SerializerMethodField()
    expires_at = UTCDateTimeField(allow_null=True)
    last_used_at = UTCDateTimeField(allow_null=True)
    usage_count = serializers.IntegerField()
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()


def with_secret(answer: type[_KeyAnswer], issued: IssuedKey) -> dict[str, Any]:
    """The answer to a key's making: the one time that its secret is shown."""
    return {**answer(issued.key).data, "api_key": issued.secret}


class Pagination(serializers.Serializer[Any]):
    page = serializers.IntegerField()
    page_size = serializers.IntegerField()
    total = serializers.IntegerField()
    total_pages = serializers.IntegerField()
    has_next = serializers.BooleanField()
    has_prev = serializers.BooleanField()


class KeyPage(serializers.Serializer[Any]):
    items = KeyAnswer(many=True)
    pagination = Pagination()


class DeletedKey(serializers.Serializer[Any]):
    api_key_id = serializers.CharField()
