"""What can be said of a key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from apikeys.permissions import Grants
from core.errors import Text
from core.limits import Period


class VerdictCode(StrEnum):
    """A verdict on a key in one word, as the wire has it. Equal text is the same code, so compare with `==`."""

    VALID = "VALID"
    MALFORMED = "AUTH_001"
    EXPIRED = "AUTH_002"
    PERMISSION_MISSING = "AUTH_003"
    DISABLED = "AUTH_004"
    UNKNOWN = "AUTH_005"
    OVER_LIMIT = "AUTH_006"
    NOT_ACTIVE = "AUTH_007"
    NOT_FROM_HERE = "AUTH_008"
    UNAVAILABLE = "SYS_002"


VALID = VerdictCode.VALID
MALFORMED = VerdictCode.MALFORMED
EXPIRED = VerdictCode.EXPIRED
PERMISSION_MISSING = VerdictCode.PERMISSION_MISSING
DISABLED = VerdictCode.DISABLED
UNKNOWN = VerdictCode.UNKNOWN
OVER_LIMIT = VerdictCode.OVER_LIMIT
NOT_ACTIVE = VerdictCode.NOT_ACTIVE
NOT_FROM_HERE = VerdictCode.NOT_FROM_HERE
UNAVAILABLE = VerdictCode.UNAVAILABLE

EXPLANATIONS: dict[str, Text] = {
    MALFORMED: _("This is not an API key: it does not decode to one"),
    EXPIRED: _("The API key has expired"),
    PERMISSION_MISSING: _("The API key does not have this permission"),
    DISABLED: _("The API key is disabled"),
    UNKNOWN: _("There is no such API key"),
    OVER_LIMIT: _("The API key has reached its rate limit or quota"),
    NOT_ACTIVE: _("The API key's tenant or agent is not active"),
    NOT_FROM_HERE: _("The API key may not be used from this address"),
}

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class RatePool:
    """n uses in any `window_seconds`, by all the keys of `subject`: a key itself, an agent or a tenant."""

    subject: str
    limit: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class QuotaPool:
    """n uses in a period, by all the keys of `subject`."""

    subject: str
    limit: int
    period: Period


@dataclass(frozen=True, slots=True)
class Pools:
    """Every limit that a use of a key counts against."""

    tenant_id: str
    rates: tuple[RatePool, ...]
    quotas: tuple[QuotaPool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """All that a verdict on one secret of a key rests on, besides the moment and the caller."""

    key_id: str
    key_name: str
    tenant_id: str
    agent_id: str
    agent_name: str
    config_version: int
    permissions: tuple[str, ...]
    grants: Grants
    networks: tuple[Network, ...]
    pools: Pools | None
    key_status: str
    # What is the case whenever and from wherever the key is used: VALID, DISABLED, EXPIRED or NOT_ACTIVE.
    lasting_code: VerdictCode
    expires_at: datetime | None
    # When the key, or this secret of it, ends.
    good_until: datetime | None
    # Of a secret that was rotated out: its id, under which its uses are noted.
    rotated_secret_id: int | None

    @property
    def subjects(self) -> tuple[str, str, str]:
        """The ids whose invalidation makes these facts untrue."""
        return self.key_id, self.agent_id, self.tenant_id

    def code_at(self, moment: datetime, address: Address | None) -> VerdictCode:
        """VALID, or why the key is not good at a moment, for a caller from `address`."""
        if self.lasting_code == DISABLED:
            return DISABLED
        if self.good_until is not None and self.good_until <= moment:
            return EXPIRED
        if self.lasting_code != VALID:
            return self.lasting_code
        if self.networks and (address is None or not any(address in network for network in self.networks)):
            return NOT_FROM_HERE
        return VALID


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of a limit; `reset` is when there will be more, None for never."""

    limit: int
    remaining: int
    reset: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a key stands with the strictest of its rate limits and quotas.

    `retry_after` is in seconds; it is None where nothing is over, and where waiting does not help.
    """

    rate_limit: Room | None
    quota: Room | None
    is_over: bool = False
    retry_after: int | None = None


NO_LIMITS = Standing(None, None)


class Ask(NamedTuple):
    """A key to judge, for a caller from `address`; with `use`, a good key's use is counted."""

    secret: str
    address: Address | None = None
    use: bool = False


class Verdict(NamedTuple):
    """What a caller is told. `facts` are those of a good key, and of one that is over its limits.

    `code` says why a key is not good, to us more than to whoever holds it; UNAVAILABLE is no verdict, but that
    none is to be had, because what it takes does not answer. A `stale` verdict is from
    memory, of a time when the database still answered (MAIM_SERVE_STALE_SECONDS).
    """

    code: VerdictCode
    facts: KeyFacts | None = None
    standing: Standing = NO_LIMITS
    stale: bool = False

    @property
    def is_good(self) -> bool:
        return self.code == VALID
