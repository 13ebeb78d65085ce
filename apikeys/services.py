"""The rules about API keys: their making, changing and end."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from agents.errors import AgentStatusForbids
from agents.models import Agent, AgentStatus
from agents.services.config_writes import lock_agent
from apikeys import digests, keyformat, validators
from apikeys.errors import KeyNameTaken, KeyNotFound
from apikeys.models import ApiKey, KeySecret, KeyStatus
from core import audit, epoch
from core.actor import Actor
from core.db import transactional, unique_or
from core.revisions import check_revision

_NAME_TAKEN = {"key_name_unique": KeyNameTaken(), "name_folded": KeyNameTaken()}
MAX_GRACE_SECONDS = 30 * 24 * 3600


_VERIFICATION_FIELDS = {
    "name", "permissions", "status", "expires_at", "rate_limit", "quota", "allowed_networks",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its new secret, which exists nowhere else: show it once, log it never."""

    key: ApiKey
    secret: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.key.id}, …)"


def audit_state(key: ApiKey) -> dict[str, Any]:
    """What the audit log keeps of a key."""
    return {
        "name": key.name,
        "description": key.description,
        "agent_id": key.agent_id,
        "permissions": key.permissions,
        "status": key.status,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "rate_limit": key.rate_limit,
        "quota": key.quota,
        "allowed_networks": key.allowed_networks,
        "metadata": key.metadata,
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
    rate_limit: dict[str, Any] | None = None,
    quota: dict[str, Any] | None = None,
    allowed_networks: list[str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> IssuedKey:
    """A new key for an agent.

    Raises KeyNameTaken, BadPermissions, Invalid, AgentNotFound, AgentStatusForbids for an archived agent.
    """
    row = lock_agent(agent.id)
    if row.status == AgentStatus.ARCHIVED:
        raise AgentStatusForbids(_("An archived agent gets no new keys"))
    key = ApiKey(
        tenant_id=row.tenant_id,
        agent=row,
        description=description,
        permissions=validators.checked_permissions(permissions or []),
        expires_at=expires_at,
        rate_limit=rate_limit,
        quota=quota,
        allowed_networks=validators.checked_networks(allowed_networks or []),
        metadata=validators.checked_metadata(metadata or {}),
    )
    key.change_name(name)
    with unique_or(_NAME_TAKEN):
        key.save(force_insert=True)
    secret = _new_secret(key)
    audit.record(actor=actor, action="key.create", object_id=key.id, tenant_id=key.tenant_id, after=audit_state(key))
    return IssuedKey(key, secret)


@transactional
def update_key(
    *, actor: Actor, key: ApiKey, changes: Mapping[str, Any], expected: Container[int] | None = None
) -> ApiKey:
    """Changes any of `name, description, permissions, expires_at, status, rate_limit, quota,
    allowed_networks, metadata`, each as a whole; only while the key's revision is an `expected` one (None: any).
    The status that the key shows is no change: of an active key whose time is over, `expired` is not stored.

    Raises KeyNameTaken, BadPermissions, Invalid, KeyNotFound, PreconditionFailed.
    """
    row = _lock_key(key)
    # For whoever shows the key after the transaction, when it may have been deleted.
    row.current_secret, row.previous_secrets = key.current_secret, key.previous_secrets
    check_revision(row, expected)
    before, shown = audit_state(row), row.status_at(timezone.now())
    if "name" in changes:
        row.change_name(changes["name"])
    if "permissions" in changes:
        row.permissions = validators.checked_permissions(changes["permissions"])
    if "allowed_networks" in changes:
        row.allowed_networks = validators.checked_networks(changes["allowed_networks"])
    if "metadata" in changes:
        row.metadata = validators.checked_metadata(changes["metadata"] or {})
    fields = ["description", "expires_at", "status", "rate_limit", "quota"]
    for field in fields:
        setattr(row, field, changes.get(field, getattr(row, field)))
    if changes.get("status") == shown:
        row.status = before["status"]
    after = audit_state(row)
    if audit.differ(before, after):
        row.updated_at = timezone.now()
        fields += ["name", "name_folded", "permissions", "allowed_networks", "metadata", "updated_at"]
        with unique_or(_NAME_TAKEN):
            row.save(update_fields=fields)
        audit.record(
            actor=actor, action="key.update", object_id=row.id, tenant_id=row.tenant_id, before=before, after=after
        )
    # Also where nothing changes: the same change may have been made a moment ago, and still be waiting.
    if not _VERIFICATION_FIELDS.isdisjoint(changes):
        epoch.invalidate(row.id)
    return row


def disable_key(*, actor: Actor, key: ApiKey, expected: Container[int] | None = None) -> ApiKey:
    """No verification succeeds any more until the key is enabled again."""
    return update_key(actor=actor, key=key, changes={"status": KeyStatus.DISABLED}, expected=expected)


def enable_key(*, actor: Actor, key: ApiKey, expected: Container[int] | None = None) -> ApiKey:
    """Undoes `disable_key`; a key whose time is over stays expired until that is changed."""
    return update_key(actor=actor, key=key, changes={"status": KeyStatus.ACTIVE}, expected=expected)


@transactional
def delete_key(*, actor: Actor, key: ApiKey, expected: Container[int] | None = None) -> None:
    """Removes a key for good; raises KeyNotFound if it is gone, PreconditionFailed."""
    row = _lock_key(key)
    check_revision(row, expected)
    before = audit_state(row)
    epoch.invalidate(row.id)
    row.delete()
    audit.record(actor=actor, action="key.delete", object_id=key.id, tenant_id=key.tenant_id, before=before)


@transactional
def rotate_key(
    *, actor: Actor, key: ApiKey, grace_seconds: int = 0, expected: Container[int] | None = None
) -> IssuedKey:
    """Gives a key a new secret; every older one that is still good ends with the grace, 0 for at once. Only while the
    key's revision is an `expected` one (None: any).

    Raises KeyNotFound, PreconditionFailed, AgentNotFound, AgentStatusForbids for an archived agent.
    """
    if lock_agent(key.agent_id).status == AgentStatus.ARCHIVED:
        raise AgentStatusForbids(_("The keys of an archived agent get no new secrets"))
    row = _lock_key(key)
    check_revision(row, expected)
    now = timezone.now()
    end = now + timedelta(seconds=grace_seconds)
    former = row.secrets.latest("id")
    row.secrets.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=end)).update(expires_at=end)
    text = _new_secret(row)
    row.updated_at = now
    row.save(update_fields=["updated_at"])
    row.previous_secrets = list(row.secrets.previous())
    epoch.invalidate(row.id)
    audit.record(
        actor=actor,
        action="key.rotate",
        object_id=row.id,
        tenant_id=row.tenant_id,
        after={"hint": row.current_secret.hint, "old_hint": former.hint, "grace_seconds": grace_seconds},
    )
    return IssuedKey(row, text)


@transactional
def report_leak(*, actor: Actor, secret: KeySecret, where: str | None = None) -> KeySecret:
    """Ends one secret for good, and neither its key nor the key's other secrets.

    `where` it was seen is kept of the first report; the audit log has them all. Raises KeyNotFound.
    """
    key = _lock_key(secret.key)
    row = key.secrets.get(pk=secret.pk)
    where = None if where is None else keyformat.scrubbed(where)
    if row.leaked_at is None:
        row.leaked_at, row.leaked_where = timezone.now(), where
        row.save(update_fields=["leaked_at", "leaked_where"])
        key.updated_at = row.leaked_at
        key.save(update_fields=["updated_at"])
    # Also for a later report: it is not to be answered before the first one has taken effect.
    epoch.invalidate(key.id)
    audit.record(
        actor=actor,
        action="key.report_leak",
        object_id=key.id,
        tenant_id=key.tenant_id,
        after={"hint": row.hint, "where": where},
    )
    return row


def _new_secret(key: ApiKey) -> str:
    secret = keyformat.generate(key.tenant_id, key.agent_id)
    version = digests.current_version()
    row = KeySecret.objects.create(
        key=key,
        digest=digests.digest(secret, version),
        secret_version=version,
        hint=keyformat.parse(secret).hint,
    )
    key.current_secret, key.previous_secrets = row, []
    return secret


def _lock_key(key: ApiKey) -> ApiKey:
    row = ApiKey.objects.in_tenants([key.tenant_id]).select_for_update().filter(pk=key.pk).first()
    if row is None:
        raise KeyNotFound
    return row
