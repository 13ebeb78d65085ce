"""The fields of an API key: a new one is added here, in the model, and in the serializers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

from apikeys import validators
from core.resource_fields import ResourceField, ResourceFields
from core.scrubbing import scrubbed_text


class KeySettings(TypedDict, total=False):
    """The fields that a key may be issued with, besides its name."""

    description: str | None
    permissions: list[str]
    expires_at: datetime | None
    rate_limit: dict[str, Any] | None
    quota: dict[str, Any] | None
    allowed_networks: list[str]
    metadata: dict[str, Any] | None


class KeyChanges(KeySettings, total=False):
    """The fields that an update of a key may change, each as a whole."""

    name: str
    status: str


KEY_FIELDS = ResourceFields(
    ResourceField("name", in_verdicts=True),
    ResourceField("description", clean=scrubbed_text),
    ResourceField("agent_id"),
    ResourceField("permissions", in_verdicts=True, clean=validators.clean_permissions),
    ResourceField("status", in_verdicts=True),
    ResourceField("expires_at", in_verdicts=True),
    ResourceField("rate_limit", in_verdicts=True),
    ResourceField("quota", in_verdicts=True),
    ResourceField("allowed_networks", in_verdicts=True, clean=validators.clean_networks),
    ResourceField("metadata", clean=validators.clean_metadata),
    changes=KeyChanges,
)
ISSUE_FIELDS = ("name", *KeySettings.__annotations__)
