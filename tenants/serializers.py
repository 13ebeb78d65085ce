from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from accounts.serializers import UserResponse
from agent_config import schema
from agent_config.updates import internal_tenant_config, masked_tenant_config
from core.actor import ActorKind
from core.fields import ID_LENGTH
from core.http.fields import (
    ChoiceField,
    JSONObjectField,
    LogQuerySerializer,
    RequestSerializer,
    StrictBooleanField,
    StrictCharField,
    StrictIntegerField,
    UTCDateTimeField,
    description_field,
    id_field,
    name_field,
)
from core.http.limit_fields import LimitField, QuotaField, RateLimitField
from core.http.responses import utc_text
from core.models import AuditEntry
from tenants.audit_log import REPORT_LEAK
from tenants.models import Role, TenantStatus, TenantType


def config_schema_field(help_text: str) -> ChoiceField:
    """Return the field of the name of a schema of configs, which `""` empties."""
    return ChoiceField(schema.NAMES, required=False, allow_blank=True, help_text=help_text)


# As much as a column of numbers holds everywhere.
MAX_LIMIT = 2**31 - 1
_SCHEMA_HELP = f"The schema of its configs, by default {schema.DEFAULT}."


@extend_schema_serializer(component_name="TenantLimits")
class TenantLimitsField(LimitField):
    """The limits on the agents, keys and members of a tenant, where they are not the default."""

    agents = StrictIntegerField(min_value=0, max_value=MAX_LIMIT, required=False)
    keys = StrictIntegerField(min_value=0, max_value=MAX_LIMIT, required=False)
    members = StrictIntegerField(min_value=1, max_value=MAX_LIMIT, required=False)

    def to_representation(self, instance: Any) -> Any:
        """Return those that are set."""
        return instance


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
    limits = TenantLimitsField(required=False)


class TenantUpdateRequest(RequestSerializer):
    """Changes of a tenant in v1, without status and limits. Null leaves a field as it is; `""` and `{}` empty it."""

    tenant_name = name_field(255, required=False)
    description = description_field()
    contact_email = StrictCharField(max_length=255, required=False, allow_blank=True)
    tenant_config = JSONObjectField(required=False)
    config_schema = config_schema_field(_SCHEMA_HELP)
    requires_mfa = StrictBooleanField(
        required=False, help_text="Refuse the tenant to members without a second factor. It takes one to set it."
    )


class InternalTenantUpdateRequest(TenantUpdateRequest):
    """Changes of a tenant in v2."""

    status = ChoiceField(TenantStatus.choices, required=False)
    rate_limit = RateLimitField(required=False, empties=True, help_text="`{}` takes it off.")
    quota = QuotaField(required=False, empties=True, help_text="`{}` takes it off.")
    limits = TenantLimitsField(required=False, empties=True, help_text="`{}` takes them off.")


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
    limits = TenantLimitsField(allow_null=True)
    requires_mfa = serializers.BooleanField()
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


class CapacityResponse(serializers.Serializer[Any]):
    limit = serializers.IntegerField(allow_null=True, help_text="null: any number.")
    used = serializers.IntegerField()


class TenantCapacityResponse(serializers.Serializer[Any]):
    agents = CapacityResponse()
    keys = CapacityResponse()
    members = CapacityResponse()


class MembershipResponse(serializers.Serializer[Any]):
    tenant_id = serializers.CharField()
    tenant_name = serializers.CharField()
    tenant_status = serializers.CharField()
    role = serializers.CharField()
    requires_mfa = serializers.BooleanField(help_text="The tenant is refused to members without a second factor.")


class RoleRequest(RequestSerializer):
    role = ChoiceField([(role.value, role.label) for role in Role if role != Role.OWNER])


class InvitationRequest(RoleRequest):
    email = StrictCharField(max_length=254)


class InvitationResponse(serializers.Serializer[Any]):
    id = serializers.CharField()
    email = serializers.CharField()
    role = serializers.CharField()
    invited_by = serializers.CharField(source="inviter.username", help_text="A username.")
    created_at = UTCDateTimeField(source="sent_at")
    expires_at = UTCDateTimeField()


class NewInvitationResponse(InvitationResponse):
    link = serializers.CharField(allow_null=True, help_text="Shown this once; null if it goes out by mail.")


class RevokedInvitationResponse(serializers.Serializer[Any]):
    id = serializers.CharField()


class InvitationTokenRequest(RequestSerializer):
    token = StrictCharField(max_length=100, help_text="From the fragment of the link.")


class ShownInvitationResponse(serializers.Serializer[Any]):
    tenant_name = serializers.CharField(source="tenant.tenant_name")
    role = serializers.CharField()
    email = serializers.CharField()
    invited_by = serializers.CharField(source="inviter.username", help_text="A username.")
    expires_at = UTCDateTimeField()
    requires_mfa = serializers.BooleanField(source="tenant.requires_mfa")


class JoinedTenantResponse(serializers.Serializer[Any]):
    """A membership, as in the profile."""

    tenant_id = serializers.CharField()
    tenant_name = serializers.CharField(source="tenant.tenant_name")
    tenant_status = serializers.CharField(source="tenant.status")
    role = serializers.CharField()
    requires_mfa = serializers.BooleanField(source="tenant.requires_mfa")


class MemberResponse(serializers.Serializer[Any]):
    user_id = serializers.CharField()
    username = serializers.CharField(source="user.username")
    role = serializers.CharField()
    created_at = UTCDateTimeField()


class MemberRemovalResponse(serializers.Serializer[Any]):
    user_id = serializers.CharField()


class OwnershipOfferRequest(RequestSerializer):
    user_id = id_field(help_text="A member of the tenant.")


class OwnershipOfferResponse(serializers.Serializer[Any]):
    user_id = serializers.CharField()
    expires_at = UTCDateTimeField()


class ProfileResponse(UserResponse):
    email_verified = serializers.BooleanField()
    pending_email = serializers.CharField(
        allow_null=True, help_text="Becomes `email` as soon as it is confirmed by the link that was sent to it."
    )
    memberships = MembershipResponse(many=True)
    key_notices = serializers.BooleanField(help_text="Whether the person gets mails about keys and quotas.")


class AuditQuerySerializer(LogQuerySerializer):
    """Filters of a tenant's audit log, and the part of it to return."""

    actor_id = serializers.CharField(required=False, max_length=ID_LENGTH, help_text="The id of a person.")
    action = serializers.CharField(required=False, max_length=50, help_text="`<type of object>.<verb>`.")
    object_id = serializers.CharField(required=False, max_length=ID_LENGTH)


class AuditEntryResponse(serializers.Serializer[Any]):
    """A change. Of operators, bots, commands and who reported a leak, a tenant learns neither names nor addresses."""

    id = serializers.IntegerField()
    at = UTCDateTimeField()
    actor_kind = ChoiceField([kind.value for kind in ActorKind])
    actor_id = serializers.CharField(allow_null=True, help_text="Of a person.")
    actor_name = serializers.CharField(allow_null=True, help_text="Of a person, as it was then.")
    address = serializers.CharField(allow_null=True, help_text="Of a person.")
    token_id = serializers.CharField(allow_null=True, help_text="The personal access token by which a person acted.")
    action = serializers.CharField()
    object_id = serializers.CharField()
    before = serializers.DictField(allow_null=True)
    after = serializers.DictField(allow_null=True)
    request_id = serializers.CharField()

    def to_representation(self, entry: AuditEntry) -> dict[str, Any]:
        is_person = entry.actor_kind in (ActorKind.USER, ActorKind.ANONYMOUS) and entry.action != REPORT_LEAK
        return {
            "id": entry.pk,
            "at": utc_text(entry.at),
            "actor_kind": entry.actor_kind,
            "actor_id": entry.actor_id if is_person else None,
            "actor_name": (entry.actor_label or None) if is_person else None,
            "address": (entry.address or None) if is_person else None,
            "token_id": entry.token_id if is_person else None,
            "action": entry.action,
            "object_id": entry.object_id,
            "before": entry.before,
            "after": entry.after,
            "request_id": entry.request_id,
        }


class AuditListResponse(serializers.Serializer[Any]):
    items = AuditEntryResponse(many=True)
    next_after = serializers.CharField(allow_null=True)


class OwnedTenantResponse(serializers.Serializer[Any]):
    tenant_id = serializers.CharField()
    tenant_name = serializers.CharField()


class AccountClosureConflictResponse(serializers.Serializer[Any]):
    detail = serializers.CharField()
    code = serializers.CharField()
    tenants = OwnedTenantResponse(
        many=True, required=False, help_text="The first 100 that the person owns, the oldest first."
    )
