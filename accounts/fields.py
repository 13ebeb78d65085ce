"""The fields of a user: a new one is added here, in the model, and in the serializers."""

from __future__ import annotations

from typing import TypedDict

from core.resource_fields import ResourceField, ResourceFields


class UserChanges(TypedDict, total=False):
    """The fields that an update of a user may change. A password has services of its own."""

    email: str | None
    is_active: bool
    is_staff: bool
    is_superuser: bool
    key_notices: bool


USER_FIELDS = ResourceFields(
    ResourceField("username"),
    ResourceField("email"),
    ResourceField("is_active"),
    ResourceField("is_staff"),
    ResourceField("is_superuser"),
    ResourceField("key_notices"),
    changes=UserChanges,
)
