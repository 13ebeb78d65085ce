"""The fields of the file: those that the API changes, where null empties what may be empty."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agents.fields import AGENT_FIELDS
from agents.serializers.agents import AgentUpdateRequest
from apikeys.fields import KEY_FIELDS
from apikeys.models import KeyStatus
from apikeys.serializers.keys import KeyUpdateRequest
from core.http.fields import BoundedListField, ChoiceField, RequestSerializer, StrictCharField, id_field, name_field
from tenants.fields import TENANT_FIELDS
from tenants.models import Role, TenantType
from tenants.serializers import InternalTenantUpdateRequest

MAX_TENANTS, MAX_ITEMS = 1000, 5000
_USER_LENGTH = 254


class KeyDeclaration(KeyUpdateRequest):
    """A key of an agent, by its name."""

    name = name_field()
    status = ChoiceField([KeyStatus.ACTIVE.value, KeyStatus.DISABLED.value], required=False)

    clearable = KEY_FIELDS.nullable


class AgentDeclaration(AgentUpdateRequest):
    """An agent of a tenant, by its name. Its config replaces the stored one."""

    name = name_field()
    keys = BoundedListField(child=KeyDeclaration(), max_length=MAX_ITEMS, required=False)

    clearable = AGENT_FIELDS.nullable


class MemberDeclaration(RequestSerializer):
    """A member of a tenant other than its owner: a username, or an e-mail address that its user has confirmed."""

    user = StrictCharField(max_length=_USER_LENGTH)
    role = ChoiceField([(role.value, role.label) for role in Role if role != Role.OWNER])


class TenantDeclaration(InternalTenantUpdateRequest):
    """A tenant, by its owner and name, or by its id."""

    tenant_name = None  # type: ignore[assignment]  # it is `name` here
    id = id_field(required=False)
    name = name_field(255)
    owner = StrictCharField(max_length=_USER_LENGTH, required=False)
    tenant_type = ChoiceField(TenantType.choices, required=False)
    members = BoundedListField(child=MemberDeclaration(), max_length=MAX_ITEMS, required=False)
    agents = BoundedListField(child=AgentDeclaration(), max_length=MAX_ITEMS, required=False)

    clearable = TENANT_FIELDS.nullable


class FileDeclaration(RequestSerializer):
    """The whole file."""

    tenants = BoundedListField(child=TenantDeclaration(), max_length=MAX_TENANTS)


def child_of(field: serializers.Field[Any, Any, Any, Any]) -> RequestSerializer | None:
    """Return the serializer of the items of a list, or of an object; None for other fields."""
    inner = getattr(field, "child", field)
    return inner if isinstance(inner, RequestSerializer) else None
