"""The rules about API keys: issuing, changing, rotating and deleting them."""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass
from datetime import timedelta
from typing import Unpack

from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import throttle
from agents.errors import AgentStatusForbids
from agents.models import Agent, AgentStatus
from agents.services.config_writes import lock_agent
from apikeys import digests, keyformat, notices
from apikeys.access import find_secret
from apikeys.errors import KeyNameTaken, KeyNotFound
from apikeys.fields import ISSUE_FIELDS, KEY_FIELDS, KeyChanges, KeySettings
from apikeys.models import ApiKey, KeySecret, KeyStatus
from core import audit, counts, epoch
from core.actor import Actor
from core.db import transactional, transactional_and_propagated, translate_unique_violation
from core.prepared import prepared_query
from core.prepared_writes import one_round_trip
from core.resource_fields import check_names
from core.revisions import check_revision
from core.scrubbing import scrubbed_text
from tenants.access import lock_tenant
from tenants.audit_log import REPORT_LEAK
from tenants.capacity import Resource, check_limit, limit_of

_NAME_TAKEN = {"key_name_unique": KeyNameTaken(), "name_folded": KeyNameTaken()}
MAX_GRACE_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its new secret, which is stored nowhere: show it once, and never log it."""

    key: ApiKey
    secret: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.key.id}, …)"


@transactional
def issue_key(*, actor: Actor, agent: Agent, name: str, **settings: Unpack[KeySettings]) -> IssuedKey:
    """Create a key for an agent, and return it with its secret.

    Raise KeyNameTaken, BadPermissions, Invalid, AgentNotFound, AgentStatusForbids for an archived agent, and if the
    tenant is limited TenantNotFound and TenantLimitReached.
    """
    check_names(settings, ISSUE_FIELDS)
    if limit_of(agent.tenant, Resource.KEYS) is not None:
        check_limit(lock_tenant(agent.tenant_id), Resource.KEYS)
    row = lock_agent(agent.id)
    if row.status == AgentStatus.ARCHIVED:
        raise AgentStatusForbids(_("An archived agent gets no new keys"))
    key = ApiKey(tenant_id=row.tenant_id, agent=row)
    KEY_FIELDS.assign(key, settings)
    key.change_name(name)
    counts.add(key)
    with translate_unique_violation(_NAME_TAKEN), one_round_trip():
        key.save(force_insert=True)
        secret = _add_secret(key)
        after = KEY_FIELDS.audit_state(key)
        audit.record(actor=actor, action="key.create", object_id=key.id, tenant_id=key.tenant_id, after=after)
    return IssuedKey(key, secret)


@transactional_and_propagated
def update_key(*, actor: Actor, key: ApiKey, changes: KeyChanges, expected: Container[int] | None = None) -> ApiKey:
    """Change some fields of a key, each as a whole, and return the changed row.

    With `expected`, the key's revision must be among these. To set the status `expired`, which an active key past its
    time shows, changes nothing. Raise KeyNameTaken, BadPermissions, Invalid, KeyNotFound, and PreconditionFailed.
    """
    row = _lock_key(key)
    # Loaded before the transaction ends, because the key may be deleted before it is shown.
    row.current_secret, row.previous_secrets = key.current_secret, key.previous_secrets
    check_revision(row, expected)
    before, shown_status = KEY_FIELDS.audit_state(row), row.status_at(timezone.now())
    counts.remove(row)
    if "name" in changes:
        row.change_name(changes["name"])
    KEY_FIELDS.assign(row, changes, skip=("name",))
    if changes.get("status") == shown_status:
        row.status = before["status"]
    counts.add(row)
    after = KEY_FIELDS.audit_state(row)
    if audit.differ(before, after):
        row.updated_at = timezone.now()
        with translate_unique_violation(_NAME_TAKEN), one_round_trip():
            row.save(update_fields=[*KEY_FIELDS.changeable, "name_folded", "updated_at"])
            audit.record(
                actor=actor, action="key.update", object_id=row.id, tenant_id=row.tenant_id, before=before, after=after
            )
    # Even if nothing changes: another request may have made the same change a moment ago and still be waiting.
    if KEY_FIELDS.affect_verdicts(changes):
        epoch.invalidate(row.id)
    return row


def disable_key(*, actor: Actor, key: ApiKey, expected: Container[int] | None = None) -> ApiKey:
    """Refuse every verification of a key until it is enabled again."""
    return update_key(actor=actor, key=key, changes={"status": KeyStatus.DISABLED}, expected=expected)


def enable_key(*, actor: Actor, key: ApiKey, expected: Container[int] | None = None) -> ApiKey:
    """Undo `disable_key`. A key past its expiry date stays expired until that is changed."""
    return update_key(actor=actor, key=key, changes={"status": KeyStatus.ACTIVE}, expected=expected)


@transactional_and_propagated
def set_status_of_all(*, actor: Actor, keys: Collection[ApiKey], status: KeyStatus) -> dict[str, ApiKey]:
    """Disable or enable many keys in a few statements, and return the rows by id, without those deleted meanwhile.

    It also waits where nothing changes, because another request may have made the same change, or deleted a key, a
    moment ago.
    """
    rows = _lock_keys(keys)
    changed = [row for row in rows if row.status != status]
    changes = [
        audit.AuditChange(row.id, row.tenant_id, before={"status": row.status}, after={"status": status.value})
        for row in changed
    ]
    now = timezone.now()
    counts.remove(*changed)
    for row in changed:
        row.status, row.updated_at, row.revision = status, now, row.revision + 1
    counts.add(*changed)
    ids = [row.id for row in changed]
    ApiKey.objects.in_tenants({row.tenant_id for row in changed}).filter(pk__in=ids).update(
        status=status, updated_at=now, revision=F("revision") + 1
    )
    audit.record_all(actor=actor, action="key.update", changes=changes)
    epoch.invalidate(*(row.id for row in rows))
    return {row.id: row for row in rows}


@transactional_and_propagated
def delete_key(*, actor: Actor, key: ApiKey, expected: Container[int] | None = None) -> None:
    """Delete a key. Raise KeyNotFound if it is gone, and PreconditionFailed."""
    row = _lock_key(key)
    check_revision(row, expected)
    before = KEY_FIELDS.audit_state(row)
    epoch.invalidate(row.id)
    counts.remove(row)
    row.delete()
    audit.record(actor=actor, action="key.delete", object_id=key.id, tenant_id=key.tenant_id, before=before)


@transactional_and_propagated
def rotate_key(
    *, actor: Actor, key: ApiKey, grace_seconds: int = 0, expected: Container[int] | None = None
) -> IssuedKey:
    """Give a key a new secret, and return it. The older secrets that are still good end after the grace period.

    With `expected`, the key's revision must be among these. Raise KeyNotFound, PreconditionFailed, AgentNotFound, and
    AgentStatusForbids for an archived agent.
    """
    if lock_agent(key.agent_id).status == AgentStatus.ARCHIVED:
        raise AgentStatusForbids(_("The keys of an archived agent get no new secrets"))
    row = _lock_key(key)
    check_revision(row, expected)
    now = timezone.now()
    end = now + timedelta(seconds=grace_seconds)
    old = row.secrets.latest("id")
    row.secrets.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=end)).update(expires_at=end)
    secret = _add_secret(row)
    row.updated_at = now
    row.save(update_fields=["updated_at"])
    row.previous_secrets = list(row.secrets.previous(now))
    epoch.invalidate(row.id)
    audit.record(
        actor=actor,
        action="key.rotate",
        object_id=row.id,
        tenant_id=row.tenant_id,
        after={"hint": row.current_secret.hint, "old_hint": old.hint, "grace_seconds": grace_seconds},
    )
    return IssuedKey(row, secret)


@transactional_and_propagated
def report_leak(*, actor: Actor, secret: KeySecret, where: str | None = None) -> KeySecret:
    """End one leaked secret for good, whoever reports it. Its key and the key's other secrets stay good.

    The row keeps `where` the first report saw it; the audit log has every report. Raise KeyNotFound.
    """
    key = _lock_key(secret.key)
    row = key.secrets.get(digest=secret.digest)
    where = scrubbed_text(where)
    if row.leaked_at is None:
        row.leaked_at, row.leaked_where = timezone.now(), where
        row.save(update_fields=["leaked_at", "leaked_where"])
        notices.notify_leak(key, row)
        key.updated_at = row.leaked_at
        key.save(update_fields=["updated_at"])
    # Also for a later report, so that it is not answered before the first one has taken effect.
    epoch.invalidate(key.id)
    audit.record(
        actor=actor,
        action=REPORT_LEAK,
        object_id=key.id,
        tenant_id=key.tenant_id,
        after={"hint": row.hint, "where": where},
    )
    return row


def report_found_key(*, actor: Actor, secret: str, where: str | None = None) -> None:
    """End the secret of a key that a person has found, whosever it is. Do nothing if there is no such key.

    Raise MalformedKey, and TooMany after several reports in a minute.
    """
    throttle.attempt(account=f"leaks reported by {actor.id}", address=actor.address)
    try:
        found = find_secret(secret)
    except KeyNotFound:
        _wait_as_for_a_leak()
    else:
        report_leak(actor=actor, secret=found, where=where)


@transactional_and_propagated
def _wait_as_for_a_leak() -> None:
    """Wait for workers as long as `report_leak` does, so that the time does not tell whether there is a key.

    If there was one until a moment ago, its deletion has taken effect then.
    """
    epoch.invalidate(epoch.NOTHING)


def _add_secret(key: ApiKey) -> str:
    """Store a new secret of the key, as a digest, and return it in clear."""
    secret = keyformat.generate(key.tenant_id, key.agent_id)
    pepper_id = digests.current_pepper_id()
    row = KeySecret.objects.create(
        key=key,
        digest=digests.digest(secret, pepper_id),
        pepper_id=pepper_id,
        hint=keyformat.parse(secret).hint,
    )
    key.current_secret, key.previous_secrets = row, []
    return secret


def _lock_keys(keys: Collection[ApiKey]) -> list[ApiKey]:
    """Return the rows of keys that are still there, locked in one order for all until the transaction ends."""
    tenants = {key.tenant_id for key in keys}
    rows = ApiKey.objects.in_tenants(tenants).filter(pk__in=[key.pk for key in keys])
    return list(rows.order_by("pk").select_for_update())


def _lock_key(key: ApiKey) -> ApiKey:
    """Return the row of a key, locked until the transaction ends. Raise KeyNotFound."""
    rows = _select_for_update(key.tenant_id, key.pk)
    if not rows:
        raise KeyNotFound
    return rows[0]


@prepared_query
def _select_for_update(tenant_id: str, key_id: str) -> QuerySet[ApiKey]:
    return ApiKey.objects.in_tenants([tenant_id]).select_for_update().filter(pk=key_id)
