"""The facts of a key, from the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_network
from typing import Any, NamedTuple

from agents.models import AgentStatus
from apikeys.models import KeySecret, KeyStatus
from apikeys.permissions import Grants
from apikeys.verification.verdicts import (
    DISABLED,
    EXPIRED,
    NOT_ACTIVE,
    VALID,
    KeyFacts,
    Pools,
    QuotaPool,
    RatePool,
    VerdictCode,
)
from core import primary
from core.limits import Period
from tenants.models import TenantStatus


class _Row(NamedTuple):
    """What is read of a secret, its key, the key's agent and tenant, as it comes from the database.

    The names are those of the ORM. MariaDB's and SQLite's times are naive, and UTC.
    """

    pk: int
    digest: str
    expires_at: datetime | None
    leaked_at: datetime | None
    key_id: str
    key__name: str
    key__tenant_id: str
    key__agent_id: str
    key__permissions: str
    key__allowed_networks: str
    key__status: str
    key__expires_at: datetime | None
    key__agent__name: str
    key__agent__status: str
    key__agent__config_version: int
    key__tenant__status: str
    key__rate_limit: str | None
    key__quota: str | None
    key__agent__rate_limit: str | None
    key__agent__quota: str | None
    key__tenant__rate_limit: str | None
    key__tenant__quota: str | None


@cache
def _sql(number: int) -> str:
    """The query for so many digests. The ORM writes it, once: to have it do so each time costs ten queries."""
    rows = KeySecret.objects.filter(digest__in=map(str, range(number))).values_list(*_Row._fields)
    return rows.query.sql_with_params()[0]


def find(digests: Sequence[str]) -> dict[str, KeyFacts]:
    """The facts of the keys that have a secret stored under these digests, by digest; one query.

    Raises OperationalError where the server takes no writes: what it says of a key may be long untrue.
    """
    found = primary.fetch_all(_sql(len(digests)), digests)
    rows = [_Row(*values) for values in found]
    return {row.digest: _facts(row) for row in rows}


def _facts(row: _Row) -> KeyFacts:
    permissions = tuple(json.loads(row.key__permissions))
    return KeyFacts(
        key_id=row.key_id,
        key_name=row.key__name,
        tenant_id=row.key__tenant_id,
        agent_id=row.key__agent_id,
        agent_name=row.key__agent__name,
        config_version=row.key__agent__config_version,
        permissions=permissions,
        grants=Grants(permissions),
        networks=tuple(ip_network(network) for network in json.loads(row.key__allowed_networks)),
        pools=_pools(row),
        key_status=row.key__status,
        lasting_code=_lasting_code(row),
        expires_at=_moment(row.key__expires_at),
        good_until=_moment(min(filter(None, (row.key__expires_at, row.expires_at)), default=None)),
        rotated_secret_id=None if row.expires_at is None else row.pk,
    )


def _lasting_code(row: _Row) -> VerdictCode:
    if row.leaked_at is not None or row.key__status == KeyStatus.DISABLED:
        return DISABLED
    if row.key__status == KeyStatus.EXPIRED:
        return EXPIRED
    if row.key__agent__status != AgentStatus.ACTIVE or row.key__tenant__status != TenantStatus.ACTIVE:
        return NOT_ACTIVE
    return VALID


def _pools(row: _Row) -> Pools | None:
    limited = (
        (row.key_id, _limit(row.key__rate_limit), _limit(row.key__quota)),
        (row.key__agent_id, _limit(row.key__agent__rate_limit), _limit(row.key__agent__quota)),
        (row.key__tenant_id, _limit(row.key__tenant__rate_limit), _limit(row.key__tenant__quota)),
    )
    rates = tuple(RatePool(subject, rate["limit"], rate["window_seconds"]) for subject, rate, _quota in limited if rate)
    quotas = tuple(
        QuotaPool(subject, quota["limit"], Period(quota["period"])) for subject, _rate, quota in limited if quota
    )
    return Pools(row.key__tenant_id, rates, quotas) if rates or quotas else None


def _limit(stored: str | None) -> dict[str, Any] | None:
    limit: dict[str, Any] | None = None if stored is None else json.loads(stored)
    return limit


def _moment(naive: datetime | None) -> datetime | None:
    return None if naive is None else naive.replace(tzinfo=UTC)
