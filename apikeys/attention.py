"""Keys that somebody should look at: that expire soon, were never used, or leaked. Of all tenants, or of one.

Lists show the first of them. How many there are of all tenants is counted now and then (dashboard.gauges).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from apikeys.models import ApiKey, KeySecret, KeyStatus
from core.listing import Sample, ids_of, rows_in_order, sample_of

SHOWN = 10
EXPIRES_WITHIN = timedelta(days=7)
# A key that is younger may be waiting for its bot.
UNUSED_FOR = timedelta(days=7)
# No index tells which keys were never used. So many are looked at, the latest of those that are old enough.
LOOKED_AT = 60
# A list of leaked keys has at most so many.
MAX_LEAKED_KEYS = 300


def expiring_keys(tenant_id: str | None = None) -> Sample[ApiKey]:
    """Return active keys that expire soon, the first to expire first."""
    return sample_of(expiring(_keys(tenant_id), timezone.now()).order_by("expires_at", "id"), SHOWN)


def never_used_keys(tenant_id: str | None = None) -> Sample[ApiKey]:
    """Return keys that were never used, the latest first, of the last LOOKED_AT that are old enough."""
    rows = _keys(tenant_id).filter(status=KeyStatus.ACTIVE, created_at__lt=timezone.now() - UNUSED_FOR)
    # By their ids, for which MariaDB reads an index to LOOKED_AT, also where it would rather sort few keys.
    ids = list(ids_of(rows.order_by("-created_at", "-id" if tenant_id is not None else "-name_folded"))[:LOOKED_AT])
    unused = rows_in_order(rows.filter(last_used_at=None), ids)
    return Sample(unused[:SHOWN], len(unused) > SHOWN)


def leaked_secrets(tenant_id: str | None = None) -> Sample[KeySecret]:
    """Return secrets that were reported as leaked, the latest report first, with their keys."""
    rows = leaked()
    if tenant_id is not None:
        rows = rows.filter(key__tenant_id=tenant_id)
    return sample_of(rows.select_related("key__tenant").order_by("-leaked_at", "-id"), SHOWN)


def expiring(keys: QuerySet[ApiKey], moment: datetime) -> QuerySet[ApiKey]:
    """Filter to active keys that expire soon after a moment."""
    return keys.filter(status=KeyStatus.ACTIVE, expires_at__gt=moment, expires_at__lte=moment + EXPIRES_WITHIN)


def never_used(keys: QuerySet[ApiKey], moment: datetime) -> QuerySet[ApiKey]:
    """Filter to active keys that were never used although they are old enough. It looks at each key."""
    return keys.filter(status=KeyStatus.ACTIVE, created_at__lt=moment - UNUSED_FOR, last_used_at=None)


def leaked() -> QuerySet[KeySecret]:
    """Return the secrets that were reported as leaked."""
    return KeySecret.objects.filter(leaked_at__isnull=False)


def leaked_and_current() -> QuerySet[KeySecret]:
    """Return the leaked secrets of keys that were not rotated since."""
    return leaked().filter(expires_at=None)


def leaked_key_ids(*, only_current: bool) -> list[str]:
    """Return the ids of the keys whose leaked secrets were reported last, at most MAX_LEAKED_KEYS.

    With `only_current`, leave out keys that were rotated since. No index orders keys by their leaks.
    """
    secrets = leaked_and_current() if only_current else leaked()
    return list(secrets.order_by("-leaked_at", "-id").values_list("key_id", flat=True)[:MAX_LEAKED_KEYS])


def _keys(tenant_id: str | None) -> QuerySet[ApiKey]:
    rows = ApiKey.unscoped.all() if tenant_id is None else ApiKey.objects.in_tenants([tenant_id])
    return rows.select_related("tenant")
