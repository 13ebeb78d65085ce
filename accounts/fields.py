"""The fields of a user: a new one is added here, in the model, and in the serializers."""

from __future__ import annotations

from typing import TypedDict

from core.resource_fields import ResourceField, ResourceFields


class UserChanges(TypedDict, total=False):
    """The fields that an update of a user may change. A password and a role have services of their own."""

    email: str | None
    is_active: bool
    key_notices: bool


USER_FIELDS = ResourceFields(
    ResourceField("username"),
    ResourceField("email"),
    ResourceField("is_active"),
    ResourceField("operator_role"),
    ResourceField("key_notices"),
    changes=UserChanges,
)
