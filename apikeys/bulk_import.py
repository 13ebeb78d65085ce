"""Bulk import of API keys from another system, with the secrets that they have there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils import timezone

from apikeys import digests, keyformat
from apikeys.fields import KEY_FIELDS
from apikeys.models import ApiKey, KeySecret
from core import audit, counts, epoch
from core.actor import Actor
from core.audit import AuditChange
from core.db import RowUpdate, bulk_overwrite, transactional, transactional_and_propagated
from core.revisions import raise_revisions

IMPORTED_FIELDS = (
    "name", "name_folded", "agent_id", "description", "permissions", "status", "expires_at", "created_at",
)  # fmt: skip
USAGE_FIELDS = ("last_used_at", "usage_count", "updated_at")


@dataclass(frozen=True, slots=True)
class ImportedKey:
    """A key of another system, with its secret in clear."""

    key: ApiKey
    secret: str

    def __repr__(self) -> str:
        return f"ImportedKey({self.key.id}, …)"


@transactional_and_propagated
def import_keys(
    *,
    actor: Actor,
    new: Sequence[ImportedKey],
    changed: Sequence[tuple[ApiKey, ImportedKey]],
    renewed: Collection[str] = (),
) -> None:
    """Insert the new keys, whose names are distinct, and update the changed ones. Of two usage counts keep the larger.

    The keys in `renewed`, by id, have got another secret: end those that they had. A secret that belongs to another key
    here moves to the imported one. A worker may go on refusing a new key as unknown until `forget_unknown`.
    """
    _refresh_counts([stored for stored, _imported in changed])
    edited, used = list[RowUpdate[ApiKey]](), list[RowUpdate[ApiKey]]()
    for stored, imported in changed:
        row = RowUpdate(stored, imported.key)
        _keep_larger_counts(row)
        used.append(row)
        if any(getattr(row.existing, field) != getattr(row.target, field) for field in IMPORTED_FIELDS):
            edited.append(row)
    before = [KEY_FIELDS.audit_state(stored) for stored, _wanted in edited]
    has_changed = {stored.pk for stored, _wanted in edited} | set(renewed)
    counted = counts.remove_stored([stored for stored, _wanted in edited])
    raise_revisions([stored for stored, _imported in changed if stored.pk in has_changed])
    bulk_overwrite(edited, IMPORTED_FIELDS, unique=[["name_folded"]])
    bulk_overwrite(used, USAGE_FIELDS)
    # Insert after updating: a new row may reuse a name that an update freed.
    ApiKey.unscoped.bulk_create([imported.key for imported in new], batch_size=500)
    counts.add(*(imported.key for imported in new), *counted)
    recorded = [
        AuditChange(imported.key.id, imported.key.tenant_id, after=KEY_FIELDS.audit_state(imported.key))
        for imported in new
    ]
    for (stored, _wanted), was in zip(edited, before, strict=True):
        epoch.invalidate(stored.id)
        recorded.append(AuditChange(stored.id, stored.tenant_id, was, KEY_FIELDS.audit_state(stored)))
    _store_secrets(new)
    audit.record_all(actor=actor, action="key.import", changes=recorded)
    _renew([imported for stored, imported in changed if stored.pk in renewed], actor=actor)


@transactional
def import_uses(used: Sequence[RowUpdate[ApiKey]]) -> None:
    """Keep the larger of two usage counts of each key, and the later use. They are measurements, and not audited."""
    _refresh_counts([row.existing for row in used])
    for row in used:
        _keep_larger_counts(row)
    bulk_overwrite(used, ("last_used_at", "usage_count"))


@transactional_and_propagated
def forget_unknown() -> None:
    """Wait until no worker refuses a stored key as unknown."""
    epoch.invalidate(epoch.EVERYTHING)


def build_secret(key: ApiKey, secret: str, **values: Any) -> KeySecret:
    """Return the unsaved row of a secret in clear, for bulk writes. `values` are those of its other columns."""
    pepper_id = digests.current_pepper_id()
    digest, hint = digests.digest(secret, pepper_id), keyformat.parse(secret).hint
    return KeySecret(key_id=key.pk, digest=digest, pepper_id=pepper_id, hint=hint, **values)


def has_secret(key: ApiKey, secret: str) -> bool:
    """Return whether the key has this secret. Cost no query if `secrets` was prefetched."""
    stored = digests.all_digests(secret)
    return any(row.digest in stored for row in key.secrets.all())


def has_live_secret(key: ApiKey, secret: str) -> bool:
    """Return whether the key has this secret and it is still good. Cost no query if `secrets` was prefetched."""
    stored, now = digests.all_digests(secret), timezone.now()
    return any(row.digest in stored and row.leaked_at is None and row.ends_after(now) for row in key.secrets.all())


def _refresh_counts(keys: Sequence[ApiKey]) -> None:
    """Lock the keys and read their usage counts again, because the keys are in use meanwhile."""
    counted = ApiKey.unscoped.select_for_update().only("usage_count", "last_used_at")
    now = {row.pk: row for row in counted.filter(pk__in=[key.pk for key in keys]).order_by("pk")}
    for key in keys:
        row = now.get(key.pk, key)
        key.usage_count, key.last_used_at = row.usage_count, row.last_used_at


def _keep_larger_counts(row: RowUpdate[ApiKey]) -> None:
    stored, wanted = row
    wanted.usage_count = max(stored.usage_count, wanted.usage_count)
    if stored.last_used_at is not None:
        wanted.last_used_at = max(stored.last_used_at, wanted.last_used_at or stored.last_used_at)


def _renew(keys: Sequence[ImportedKey], *, actor: Actor) -> None:
    for imported in keys:
        others = imported.key.secrets.exclude(digest__in=digests.all_digests(imported.secret))
        others.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())).update(expires_at=timezone.now())
    if keys:
        epoch.invalidate(epoch.EVERYTHING)  # the old secrets, and the new ones, which workers may refuse as unknown
    _store_secrets([imported for imported in keys if not has_secret(imported.key, imported.secret)])
    recorded = [
        AuditChange(
            imported.key.pk,
            imported.key.tenant_id,
            after={"hint": keyformat.parse(imported.secret).hint, "grace_seconds": 0},
        )
        for imported in keys
    ]
    audit.record_all(actor=actor, action="key.rotate", changes=recorded)


def _remove_from_others(keys: Sequence[ImportedKey]) -> None:
    owners = {digest: imported.key.pk for imported in keys for digest in digests.all_digests(imported.secret)}
    others = [row for row in KeySecret.objects.filter(digest__in=owners) if row.key_id != owners[row.digest]]
    KeySecret.objects.filter(pk__in=[row.pk for row in others]).delete()
    for row in others:
        epoch.invalidate(row.key_id)


def _store_secrets(keys: Sequence[ImportedKey]) -> None:
    _remove_from_others(keys)
    KeySecret.objects.bulk_create(
        (build_secret(imported.key, imported.secret, created_at=imported.key.created_at) for imported in keys),
        batch_size=500,
    )
