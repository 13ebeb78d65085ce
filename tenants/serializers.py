from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.serializers import UserResponse
from agent_config import schema
from agent_config.updates import internal_tenant_config, masked_tenant_config
from core.http.fields import (
    ChoiceField,
    JSONObjectField,
    RequestSerializer,
    StrictCharField,
    UTCDateTimeField,
    description_field,
    id_field,
    name_field,
)
from core.http.limit_fields import QuotaField, RateLimitField
from tenants.models import TenantStatus, TenantType


def config_schema_field(help_text: str) -> ChoiceField:
    """Return the field of the name of a schema of configs, which `""` empties."""
    return ChoiceField(schema.NAMES, required=False, allow_blank=True, help_text=help_text)


_SCHEMA_HELP = f"The schema of its configs, by default {schema.DEFAULT}."


class TenantCreateRequest(RequestSerializer):
    """The body that creates a tenant in v1, whose owner is the caller."""

    tenant_name = name_field(255)
    tenant_type = ChoiceField(TenantType.choices)
    description = description_field()
    contact_email = StrictCharField(max_length=255, required=False, allow_blank=True)
    tenant_config = JSONObjectField(required=False)
    config_schema = config_schema_field(_SCHEMA_HELP)


class InternalTenantCreateRequest(TenantCreateRequest):
    """The body that creates a tenant in v2."""

    owner_id = id_field(
        required=False, allow_blank=True, help_text="One that names no user here is kept, and gives nobody rights."
    )
    rate_limit = RateLimitField(required=False)
    quota = QuotaField(required=False)


class TenantUpdateRequest(RequestSerializer):
    """Changes of a tenant in v1, without status and limits. Null leaves a field as it is; `""` and `{}` empty it."""

    tenant_name = name_field(255, required=False)
    description = description_field()
    contact_email = StrictCharField(max_length=255, required=False, allow_blank=True)
    tenant_config = JSONObjectField(required=False)
    config_schema = config_schema_field(_SCHEMA_HELP)


class InternalTenantUpdateRequest(TenantUpdateRequest):
    """Changes of a tenant in v2."""

    status = ChoiceField(TenantStatus.choices, required=False)
    rate_limit = RateLimitField(required=False, empties=True, help_text="`{}` takes it off.")
    quota = QuotaField(required=False, empties=True, help_text="`{}` takes it off.")


class MaskedTenantConfigField(JSONObjectField):
    """A tenant's config with its secrets masked."""

    def to_representation(self, value: Any) -> Any:
        return masked_tenant_config(value)


class TenantResponse(serializers.Serializer[Any]):
    id = serializers.CharField()
    tenant_id = serializers.CharField(source="id")
    tenant_name = serializers.CharField()
    tenant_type = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    contact_email = serializers.CharField(allow_null=True)
    tenant_config = MaskedTenantConfigField(allow_null=True)
    status = serializers.CharField()
    owner_id = serializers.CharField(allow_null=True, source="named_owner_id")
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()
    config_schema = serializers.CharField(allow_null=True)
    rate_limit = RateLimitField(allow_null=True)
    quota = QuotaField(allow_null=True)
    revision = serializers.IntegerField()


class InternalTenantConfigField(JSONObjectField):
    """A tenant's config as other services see it."""

    def to_representation(self, value: Any) -> Any:
        return internal_tenant_config(value)


class InternalTenantResponse(TenantResponse):
    """A tenant in v2."""

    tenant_config = InternalTenantConfigField(allow_null=True)  # type: ignore[assignment]  # the same with another representation


class TenantDeletionResponse(serializers.Serializer[Any]):
    id = serializers.CharField()


class MembershipResponse(serializers.Serializer[Any]):
    tenant_id = serializers.CharField()
    tenant_name = serializers.CharField()
    tenant_status = serializers.CharField()
    role = serializers.CharField()


class ProfileResponse(UserResponse):
    email_verified = serializers.BooleanField()
    pending_email = serializers.CharField(
        allow_null=True, help_text="Becomes `email` as soon as it is confirmed by the link that was sent to it."
    )
    memberships = MembershipResponse(many=True)


class OwnedTenantResponse(serializers.Serializer[Any]):
    tenant_id = serializers.CharField()
    tenant_name = serializers.CharField()


class AccountClosureConflictResponse(serializers.Serializer[Any]):
    detail = serializers.CharField()
    code = serializers.CharField()
    tenants = OwnedTenantResponse(
        many=True, required=False, help_text="The first 100 that the person owns, the oldest first."
    )
