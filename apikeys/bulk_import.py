"""Taking over the API keys of another system: the same secret goes on working."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db.models import Q
from django.utils import timezone

from apikeys import digests, keyformat
from apikeys.models import ApiKey, KeySecret
from apikeys.services import audit_state
from core import audit, epoch
from core.actor import Actor
from core.audit import AuditChange
from core.db import Wanted, overwrite, transactional
from core.revisions import raise_revisions

IMPORTED_FIELDS = (
    "name", "name_folded", "agent_id", "description", "permissions", "status", "expires_at", "created_at",
)  # fmt: skip
USAGE_FIELDS = ("last_used_at", "usage_count", "updated_at")


@dataclass(frozen=True, slots=True)
class ImportedKey:
    """A key as another system has it, which knows its secret in clear."""

    key: ApiKey
    secret: str

    def __repr__(self) -> str:
        return f"ImportedKey({self.key.id}, …)"


@transactional
def import_keys(
    *,
    actor: Actor,
    new: Sequence[ImportedKey],
    changed: Sequence[tuple[ApiKey, ImportedKey]],
    renewed: Collection[str] = (),
) -> None:
    """Stores keys whose names were made distinct, and makes others what they are to be; of two counts of their uses
    the larger stays. Those in `renewed`, by id, have another secret now: whatever they had before ends. A secret that
    another key has here becomes theirs.

    A worker that was asked for a new key before may hold it for unknown a little longer, until `forget_unknown`.
    """
    _read_counts_again([stored for stored, _known in changed])
    said, measured = list[Wanted[ApiKey]](), list[Wanted[ApiKey]]()
    for stored, known in changed:
        row = Wanted(stored, known.key)
        _keep_larger_counts(row)
        measured.append(row)
        if any(getattr(row.stored, field) != getattr(row.wanted, field) for field in IMPORTED_FIELDS):
            said.append(row)
    before = [audit_state(stored) for stored, _wanted in said]
    has_changed = {stored.pk for stored, _wanted in said} | set(renewed)
    raise_revisions([stored for stored, _known in changed if stored.pk in has_changed])
    overwrite(said, IMPORTED_FIELDS, unique=[["name_folded"]])
    overwrite(measured, USAGE_FIELDS)
    # Later, for they may have names that others give up.
    ApiKey.unscoped.bulk_create([known.key for known in new], batch_size=500)
    recorded = [AuditChange(known.key.id, known.key.tenant_id, after=audit_state(known.key)) for known in new]
    for (stored, _wanted), was in zip(said, before, strict=True):
        epoch.invalidate(stored.id)
        recorded.append(AuditChange(stored.id, stored.tenant_id, was, audit_state(stored)))
    _store_secrets(new)
    audit.record_all(actor=actor, action="key.import", changes=recorded)
    _renew([known for stored, known in changed if stored.pk in renewed], actor=actor)


@transactional
def forget_unknown() -> None:
    """Returns when no worker holds a key that is stored for unknown any more."""
    epoch.invalidate(epoch.EVERYTHING)


def has_secret(key: ApiKey, secret: str) -> bool:
    """Whether this is a secret of the key, whose `secrets` may have been prefetched."""
    stored = digests.all_digests(secret)
    return any(row.digest in stored for row in key.secrets.all())


def has_live_secret(key: ApiKey, secret: str) -> bool:
    """Tell whether this is a secret of the key that is still good; the key's `secrets` may have been prefetched."""
    stored, now = digests.all_digests(secret), timezone.now()
    return any(row.digest in stored and row.leaked_at is None and row.ends_after(now) for row in key.secrets.all())


def _read_counts_again(keys: Sequence[ApiKey]) -> None:
    """The keys are being used meanwhile; from here to the commit, what is counted of them waits."""
    counted = ApiKey.unscoped.select_for_update().only("usage_count", "last_used_at")
    now = {row.pk: row for row in counted.filter(pk__in=[key.pk for key in keys]).order_by("pk")}
    for key in keys:
        row = now.get(key.pk, key)
        key.usage_count, key.last_used_at = row.usage_count, row.last_used_at


def _keep_larger_counts(row: Wanted[ApiKey]) -> None:
    stored, wanted = row
    wanted.usage_count = max(stored.usage_count, wanted.usage_count)
    if stored.last_used_at is not None:
        wanted.last_used_at = max(stored.last_used_at, wanted.last_used_at or stored.last_used_at)


def _renew(keys: Sequence[ImportedKey], *, actor: Actor) -> None:
    for known in keys:
        others = known.key.secrets.exclude(digest__in=digests.all_digests(known.secret))
        others.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())).update(expires_at=timezone.now())
        epoch.invalidate(known.key.pk)
    _store_secrets([known for known in keys if not has_secret(known.key, known.secret)])
    recorded = [
        AuditChange(
            known.key.pk, known.key.tenant_id, after={"hint": keyformat.parse(known.secret).hint, "grace_seconds": 0}
        )
        for known in keys
    ]
    audit.record_all(actor=actor, action="key.rotate", changes=recorded)


def _take_from_others(keys: Sequence[ImportedKey]) -> None:
    owners = {digest: known.key.pk for known in keys for digest in digests.all_digests(known.secret)}
    others = [row for row in KeySecret.objects.filter(digest__in=owners) if row.key_id != owners[row.digest]]
    KeySecret.objects.filter(pk__in=[row.pk for row in others]).delete()
    for row in others:
        epoch.invalidate(row.key_id)


def _store_secrets(keys: Sequence[ImportedKey]) -> None:
    _take_from_others(keys)
    version = digests.current_version()
    KeySecret.objects.bulk_create(
        (
            KeySecret(
                key_id=known.key.pk,
                digest=digests.digest(known.secret, version),
                secret_version=version,
                hint=keyformat.parse(known.secret).hint,
                created_at=known.key.created_at,
            )
            for known in keys
        ),
        batch_size=500,
    )
