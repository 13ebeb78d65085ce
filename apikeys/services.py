"""The rules about API keys: their making, changing and end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from agents.errors import AgentStatusForbids
from agents.models import Agent, AgentStatus
from agents.services import lock_agent
from apikeys import digests, keyformat
from apikeys.errors import BadPermissions, KeyNameTaken, KeyNotFound
from apikeys.models import ApiKey, KeySecret, KeyStatus
from maim.common import audit, clock
from maim.common.actor import Actor
from maim.common.db import transactional, unique_or
from maim.common.errors import Invalid

_NAME_TAKEN = {"key_name_unique": KeyNameTaken(), "name_folded": KeyNameTaken()}
PERMISSION = re.compile(r"[^\s\x00-\x1f\x7f]{1,64}")
MAX_PERMISSIONS = 100


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key with its secret, which exists nowhere else: show it once, log it never."""

    key: ApiKey
    secret: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.key.id}, …)"


def snapshot(key: ApiKey) -> dict[str, Any]:
    """What the audit log keeps of a key."""
    return {
        "name": key.name,
        "description": key.description,
        "agent_id": key.agent_id,
        "permissions": key.permissions,
        "status": key.status,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }


@transactional
def issue_key(
    *,
    actor: Actor,
    agent: Agent,
    name: str,
    description: str | None = None,
    permissions: list[str] | None = None,
    expires_at: datetime | None = None,
) -> IssuedKey:
    """A new key for an agent.

    Raises KeyNameTaken, BadPermissions, AgentNotFound, AgentStatusForbids for an archived agent.
    """
    row = lock_agent(agent.id)
    if row.status == AgentStatus.ARCHIVED:
        raise AgentStatusForbids(_("An archived agent gets no new keys"))
    key = ApiKey(
        tenant_id=row.tenant_id,
        agent=row,
        description=description,
        permissions=_checked_permissions(permissions or []),
        expires_at=expires_at,
    )
    _set_name(key, name)
    with unique_or(_NAME_TAKEN):
        key.save(force_insert=True)
    secret = _new_secret(key)
    audit.record(actor=actor, action="key.create", object_id=key.id, tenant_id=key.tenant_id, after=snapshot(key))
    return IssuedKey(key, secret)


@transactional
def update_key(*, actor: Actor, key: ApiKey, changes: Mapping[str, Any]) -> ApiKey:
    """Changes any of `name, description, permissions, expires_at, status`.

    Raises KeyNameTaken, BadPermissions, KeyNotFound.
    """
    row = _lock_key(key)
    before = snapshot(row)
    if "name" in changes:
        _set_name(row, changes["name"])
    if "permissions" in changes:
        row.permissions = _checked_permissions(changes["permissions"])
    fields = ["description", "expires_at", "status"]
    for field in fields:
        setattr(row, field, changes.get(field, getattr(row, field)))
    after = snapshot(row)
    if after != before:
        row.updated_at = clock.now()
        with unique_or(_NAME_TAKEN):
            row.save(update_fields=["name", "name_folded", "permissions", *fields, "updated_at"])
        audit.record(
            actor=actor, action="key.update", object_id=row.id, tenant_id=row.tenant_id, before=before, after=after
        )
    return row


def disable_key(*, actor: Actor, key: ApiKey) -> ApiKey:
    """No verification succeeds any more until the key is enabled again."""
    return update_key(actor=actor, key=key, changes={"status": KeyStatus.DISABLED})


def enable_key(*, actor: Actor, key: ApiKey) -> ApiKey:
    """Undoes `disable_key`; a key whose time is over stays expired until that is changed."""
    return update_key(actor=actor, key=key, changes={"status": KeyStatus.ACTIVE})


@transactional
def delete_key(*, actor: Actor, key: ApiKey) -> None:
    """Removes a key for good; raises KeyNotFound if it is gone."""
    row = _lock_key(key)
    before = snapshot(row)
    row.delete()
    audit.record(actor=actor, action="key.delete", object_id=key.id, tenant_id=key.tenant_id, before=before)


def _new_secret(key: ApiKey) -> str:
    secret = keyformat.generate(key.tenant_id, key.agent_id)
    version = digests.current_version()
    row = KeySecret.objects.create(
        key=key,
        digest=digests.digest(secret, version),
        secret_version=version,
        hint=keyformat.parse(secret).hint,
    )
    key.newest_secrets = [row]
    return secret


def _lock_key(key: ApiKey) -> ApiKey:
    row = ApiKey.objects.in_tenants([key.tenant_id]).select_for_update().filter(pk=key.pk).first()
    if row is None:
        raise KeyNotFound
    row.newest_secrets = key.newest_secrets
    return row


def _set_name(key: ApiKey, name: str) -> None:
    key.set_name(name)
    if len(key.name_folded) > 300:
        raise Invalid({"name": [_("The name is too long")]})


def _checked_permissions(permissions: list[str]) -> list[str]:
    if len(permissions) > MAX_PERMISSIONS:
        raise BadPermissions(_("A key may have at most 100 permissions"))
    for permission in permissions:
        if not PERMISSION.fullmatch(permission):
            raise BadPermissions(_("A permission is 1 to 64 characters without blanks"))
    return list(dict.fromkeys(permissions))
