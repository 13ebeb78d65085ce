"""The fields of a tenant: a new one is added here, in the model, and in the serializers."""

from __future__ import annotations

from typing import Any, TypedDict

from agent_config.updates import masked_tenant_config
from agent_config.validators import schema_name
from core.resource_fields import ResourceField, ResourceFields
from core.scrubbing import scrubbed_text


class TenantSettings(TypedDict, total=False):
    """The fields that a tenant may be created with, besides its name, type and owner."""

    description: str | None
    contact_email: str | None
    tenant_config: dict[str, Any] | None
    config_schema: str | None
    rate_limit: dict[str, Any] | None
    quota: dict[str, Any] | None
    limits: dict[str, int] | None


class TenantChanges(TenantSettings, total=False):
    """The fields that an update of a tenant may change."""

    tenant_name: str
    tenant_type: str
    status: str
    requires_mfa: bool


TENANT_FIELDS = ResourceFields(
    ResourceField("tenant_name"),
    ResourceField("tenant_type"),
    ResourceField("status", in_verdicts=True),
    ResourceField("owner_id", source="named_owner_id"),
    ResourceField("description", clean=scrubbed_text),
    ResourceField("contact_email"),
    ResourceField("tenant_config", mask=masked_tenant_config),
    ResourceField("config_schema", clean=schema_name),
    ResourceField("rate_limit", in_verdicts=True),
    ResourceField("quota", in_verdicts=True),
    ResourceField("limits"),
    ResourceField("requires_mfa"),
    changes=TenantChanges,
)
# Only operators change these; of a person's update they are ignored.
OPERATOR_FIELDS = ("status", "rate_limit", "quota", "limits")
