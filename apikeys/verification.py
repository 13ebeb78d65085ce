"""Is this key good, whose is it, and what may it do?

The one place that answers. Every surface asks here; nothing else compares keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import F
from django.utils.translation import gettext_lazy as _

from agents.models import AgentStatus
from apikeys import digests, keyformat
from apikeys.keyformat import MalformedKey
from apikeys.models import ApiKey, KeySecret, KeyStatus
from maim.common import clock
from maim.common.errors import Text
from tenants.models import TenantStatus

MALFORMED = "AUTH_001"
EXPIRED = "AUTH_002"
PERMISSION_MISSING = "AUTH_003"
DISABLED = "AUTH_004"
UNKNOWN = "AUTH_005"
NOT_ACTIVE = "AUTH_007"

EXPLANATIONS: dict[str, Text] = {
    MALFORMED: _("This is not an API key: it does not decode to one"),
    EXPIRED: _("The API key has expired"),
    PERMISSION_MISSING: _("The API key does not have this permission"),
    DISABLED: _("The API key is disabled"),
    UNKNOWN: _("There is no such API key"),
    NOT_ACTIVE: _("The API key's tenant or agent is not active"),
}


@dataclass(frozen=True, slots=True)
class Good:
    """A key to let in, and what it may do."""

    key_id: str
    tenant_id: str
    agent_id: str
    permissions: tuple[str, ...]
    status: str

    def allows(self, permission: str | None) -> bool:
        """Whether the key has the permission; always, where none is asked for."""
        return permission is None or permission in self.permissions


@dataclass(frozen=True, slots=True)
class Bad:
    """A key to refuse; `code` says why, to us more than to whoever holds it."""

    code: str


Verdict = Good | Bad


def verify(secret: str) -> Verdict:
    """Judges a key as of now; expiry and every status are read at each call."""
    try:
        keyformat.parse(secret)
    except MalformedKey:
        return Bad(MALFORMED)
    row = (
        KeySecret.objects.select_related("key__agent", "key__tenant")
        .filter(digest__in=digests.all_digests(secret))
        .first()
    )
    if row is None:
        return Bad(UNKNOWN)
    key = row.key
    status = key.status_at(clock.now())
    if status == KeyStatus.DISABLED:
        return Bad(DISABLED)
    if status == KeyStatus.EXPIRED:
        return Bad(EXPIRED)
    if key.agent.status != AgentStatus.ACTIVE or key.tenant.status != TenantStatus.ACTIVE:
        return Bad(NOT_ACTIVE)
    return Good(
        key_id=key.id,
        tenant_id=key.tenant_id,
        agent_id=key.agent_id,
        permissions=tuple(key.permissions),
        status=status.value,
    )


def count_use(verdict: Good) -> None:
    """Counts one use of a key, in one statement that parallel uses cannot lose."""
    ApiKey.objects.in_tenants([verdict.tenant_id]).filter(pk=verdict.key_id).update(
        usage_count=F("usage_count") + 1, last_used_at=clock.now()
    )
