"""The part of a deleted tenant or agent that are its API keys."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from apikeys import digests
from apikeys.models import ApiKey, KeySecret, KeyStatus
from core import counts
from core.prepared_writes import insert_all
from core.undo.parts import Kind, Part, Restoration, rename_taken
from tenants.access import lock_tenant
from tenants.capacity import Resource, check_limit


class Keys(Part[ApiKey]):
    """The API keys. They come back disabled, and have to be rotated: their secrets are stored nowhere."""

    model = ApiKey
    columns = {Kind.TENANT: "tenant_id", Kind.AGENT: "agent_id"}

    def put_back(self, rows: Sequence[ApiKey], restoration: Restoration) -> int:
        if restoration.deleted.kind == Kind.AGENT:
            tenant = lock_tenant(rows[0].tenant_id)
            # All of them with each part of the rows, because what this transaction has added does not count yet.
            check_limit(tenant, Resource.KEYS, adding=restoration.deleted.counts[self.label])
            rename_taken(rows, restoration, among=ApiKey.objects.in_tenants([tenant.pk]))
        for row in rows:
            row.status = KeyStatus.DISABLED
        counts.add(*rows)
        number = super().put_back(rows, restoration)
        insert_all([_dead_secret(row) for row in rows])
        return number


def _dead_secret(key: ApiKey) -> KeySecret:
    """Return a secret that nothing verifies against, because no HMAC has such a digest."""
    digest = f"restored {secrets.token_hex(20)}"
    return KeySecret(
        key=key, digest=digest, pepper_id=digests.current_pepper_id(), hint="----", created_at=key.created_at
    )
