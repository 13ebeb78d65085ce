"""The requests and verdicts of verification, and the facts and limits that a verdict rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from apikeys.models import KeyStatus
from apikeys.permissions import Grants, Requirement
from core.errors import Text
from core.limits import Period


class VerdictCode(StrEnum):
    """A verdict on a key, as it is on the wire. Two members may have equal text, so compare with `==`."""

    VALID = "VALID"
    MALFORMED = "AUTH_001"
    EXPIRED = "AUTH_002"
    PERMISSION_MISSING = "AUTH_003"
    DISABLED = "AUTH_004"
    UNKNOWN = "AUTH_005"
    LIMIT_EXCEEDED = "AUTH_006"
    NOT_ACTIVE = "AUTH_007"
    ADDRESS_NOT_ALLOWED = "AUTH_008"
    UNAVAILABLE = "SYS_002"


class SecretReason(StrEnum):
    """A reason for which one secret of a key is refused, and not the key itself: `reason` beside the code."""

    ROTATED = "rotated"
    LEAKED = "leaked"


VALID = VerdictCode.VALID
MALFORMED = VerdictCode.MALFORMED
EXPIRED = VerdictCode.EXPIRED
PERMISSION_MISSING = VerdictCode.PERMISSION_MISSING
DISABLED = VerdictCode.DISABLED
UNKNOWN = VerdictCode.UNKNOWN
LIMIT_EXCEEDED = VerdictCode.LIMIT_EXCEEDED
NOT_ACTIVE = VerdictCode.NOT_ACTIVE
ADDRESS_NOT_ALLOWED = VerdictCode.ADDRESS_NOT_ALLOWED
UNAVAILABLE = VerdictCode.UNAVAILABLE

EXPLANATIONS: dict[str, Text] = {
    MALFORMED: _("This is not an API key: it does not decode to one"),
    EXPIRED: _("The API key has expired"),
    PERMISSION_MISSING: _("The API key does not have this permission"),
    DISABLED: _("The API key is disabled"),
    UNKNOWN: _("There is no such API key"),
    LIMIT_EXCEEDED: _("The API key has reached its rate limit or quota"),
    NOT_ACTIVE: _("The API key's tenant or agent is not active"),
    ADDRESS_NOT_ALLOWED: _("The API key may not be used from this address"),
}

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `limit` uses in any `window_seconds`, by all keys of `subject`: a key itself, an agent or a tenant."""

    subject: str
    limit: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` uses in a period, by all keys of `subject`."""

    subject: str
    limit: int
    period: Period


@dataclass(frozen=True, slots=True)
class Limits:
    """Every rate limit and quota that a use of a key counts against."""

    tenant_id: str
    rate_limits: tuple[RateLimit, ...]
    quotas: tuple[Quota, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """Everything that a verdict on one secret of a key rests on, except the time and the caller's address."""

    key_id: str
    key_name: str
    tenant_id: str
    agent_id: str
    agent_name: str
    config_version: int
    permissions: tuple[str, ...]
    grants: Grants
    networks: tuple[Network, ...]
    limits: Limits | None
    key_status: str
    # The part of the verdict that depends on neither time nor address: VALID, DISABLED, EXPIRED or NOT_ACTIVE.
    static_code: VerdictCode
    expires_at: datetime | None
    # The end of the key or of this secret, whichever comes first.
    valid_until: datetime | None
    # The id of a secret that was rotated out, because its uses are recorded under it; None for the current secret.
    rotated_secret_id: int | None
    # The tenant's owner, if the verdict depends on them (MAIM_OWNER_OFF).
    owner_id: str | None = None
    _rendered: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def rendered(self, render: Callable[[KeyFacts], bytes]) -> bytes:
        """Return what `render` makes of these facts. It is called once and its result cached with them.

        A second function would get the result of the first.
        """
        if self._rendered is None:
            object.__setattr__(self, "_rendered", render(self))
        rendered: bytes | None = self._rendered
        assert rendered is not None
        return rendered

    @property
    def subjects(self) -> tuple[str, ...]:
        """The ids whose invalidation makes these facts outdated, the key's own first."""
        ids = self.key_id, self.agent_id, self.tenant_id
        return ids if self.owner_id is None else (*ids, self.owner_id)

    def code_at(self, moment: datetime, address: Address | None) -> VerdictCode:
        """Return VALID, or the reason why a caller from `address` may not use the key at a moment."""
        if self.static_code == DISABLED:
            return DISABLED
        if self.valid_until is not None and self.valid_until <= moment:
            return EXPIRED
        if self.static_code != VALID:
            return self.static_code
        if self.networks and (address is None or not any(address in network for network in self.networks)):
            return ADDRESS_NOT_ALLOWED
        return VALID

    def satisfy(self, requirement: Requirement | None) -> bool:
        """Return whether the key's permissions satisfy a requirement, if there is one."""
        return requirement is None or self.grants.satisfy(requirement)

    def secret_reason_at(self, moment: datetime) -> SecretReason | None:
        """Return why this secret is not good at a moment where its key's other secrets are, else None."""
        if self.static_code == DISABLED:
            return None if self.key_status == KeyStatus.DISABLED else SecretReason.LEAKED
        is_key_over = self.static_code == EXPIRED or (self.expires_at is not None and self.expires_at <= moment)
        is_secret_over = self.valid_until is not None and self.valid_until <= moment
        return SecretReason.ROTATED if is_secret_over and not is_key_over else None


@dataclass(frozen=True, slots=True)
class Remaining:
    """The uses that a limit has left. `reset` is when there will be more, None for never."""

    limit: int
    remaining: int
    reset: datetime | None


class NearQuota(NamedTuple):
    """A quota that is nearly or wholly used up in the period with this name."""

    quota: Quota
    period: str
    percent: int


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """The state of the strictest rate limit and the strictest quota of a key, and all quotas that are nearly used up.

    `retry_after` is in seconds; it is None where no limit is exceeded, and where waiting does not help.
    """

    rate_limit: Remaining | None
    quota: Remaining | None
    is_exceeded: bool = False
    retry_after: int | None = None
    near: tuple[NearQuota, ...] = ()


NO_LIMITS = LimitStatus(None, None)


class VerificationRequest(NamedTuple):
    """A key to verify for a caller from `address`. With `use`, a use of a valid key is counted.

    The verdict does not depend on the `requirement`; whether it is satisfied is counted with the use.
    """

    secret: str
    address: Address | None = None
    use: bool = False
    requirement: Requirement | None = None


class Verdict(NamedTuple):
    """The result of a verification. A valid key has `facts`, and so does one that has exceeded its limits.

    UNAVAILABLE means the database or Redis did not answer, so there is no verdict. A `stale` verdict comes from the
    cache, as of a time when the database still answered (MAIM_SERVE_STALE_SECONDS).
    """

    code: VerdictCode
    facts: KeyFacts | None = None
    limit_status: LimitStatus = NO_LIMITS
    stale: bool = False

    @property
    def is_valid(self) -> bool:
        return self.code == VALID
