"""The facts of keys, from the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_network
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import QuerySet

from agents.models import AgentStatus
from apikeys.models import KeySecret, KeyStatus
from apikeys.permissions import Grants
from apikeys.verification.verdicts import (
    DISABLED,
    EXPIRED,
    NOT_ACTIVE,
    VALID,
    KeyFacts,
    Limits,
    Quota,
    RateLimit,
    VerdictCode,
)
from core import primary
from core.limits import Period
from core.prepared import prepared_sql
from tenants.models import TenantStatus


class _Row(NamedTuple):
    """A secret with its key, and the key's agent and tenant, as the database returns them.

    The names are the ORM's. Times are naive, and in UTC.
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
    key__tenant__owner_id: str | None
    key__tenant__owner__is_active: bool | None


@prepared_sql
def _select_by_digests(number: int) -> QuerySet[KeySecret, Any]:
    return KeySecret.objects.filter(digest__in=map(str, range(number))).values_list(*_Row._fields)


def find(digests: Sequence[str]) -> dict[str, KeyFacts]:
    """Return the facts of the keys that have a secret with one of these digests, by digest; one query.

    Raise OperationalError where the server takes no writes, because its rows may be outdated.
    """
    found = primary.fetch_all(_select_by_digests(len(digests)), digests)
    rows = [_Row(*values) for values in found]
    return {row.digest: _facts(row) for row in rows}


def _facts(row: _Row) -> KeyFacts:
    permissions, grants = _permissions(row.key__permissions)
    return KeyFacts(
        key_id=row.key_id,
        key_name=row.key__name,
        tenant_id=_shared(row.key__tenant_id),
        agent_id=_shared(row.key__agent_id),
        agent_name=_shared(row.key__agent__name),
        config_version=row.key__agent__config_version,
        permissions=permissions,
        grants=grants,
        networks=tuple(ip_network(network) for network in json.loads(row.key__allowed_networks)),
        limits=_limits(row),
        key_status=_shared(row.key__status),
        static_code=_static_code(row),
        expires_at=_in_utc(row.key__expires_at),
        valid_until=_in_utc(min(filter(None, (row.key__expires_at, row.expires_at)), default=None)),
        owner_id=row.key__tenant__owner_id if settings.KEYS_OFF_WITH_OWNER else None,
        rotated_secret_id=None if row.expires_at is None else row.pk,
    )


# Many keys have the same of these, and a cache that holds a hundred thousand keys needs each only once.
@lru_cache(maxsize=10_000)
def _shared(text: str) -> str:
    """Return the same object for equal texts."""
    return text


@lru_cache(maxsize=1_000)
def _permissions(stored: str) -> tuple[tuple[str, ...], Grants]:
    permissions = tuple(json.loads(stored))
    return permissions, Grants(permissions)


def _static_code(row: _Row) -> VerdictCode:
    if row.leaked_at is not None or row.key__status == KeyStatus.DISABLED:
        return DISABLED
    if row.key__status == KeyStatus.EXPIRED:
        return EXPIRED
    if row.key__agent__status != AgentStatus.ACTIVE or row.key__tenant__status != TenantStatus.ACTIVE:
        return NOT_ACTIVE
    has_inactive_owner = row.key__tenant__owner_id is not None and not row.key__tenant__owner__is_active
    if has_inactive_owner and settings.KEYS_OFF_WITH_OWNER:
        return NOT_ACTIVE
    return VALID


def _limits(row: _Row) -> Limits | None:
    limited = (
        (row.key_id, _parsed(row.key__rate_limit), _parsed(row.key__quota)),
        (row.key__agent_id, _parsed(row.key__agent__rate_limit), _parsed(row.key__agent__quota)),
        (row.key__tenant_id, _parsed(row.key__tenant__rate_limit), _parsed(row.key__tenant__quota)),
    )
    rate_limits = tuple(
        RateLimit(subject, rate["limit"], rate["window_seconds"]) for subject, rate, _quota in limited if rate
    )
    quotas = tuple(
        Quota(subject, quota["limit"], Period(quota["period"])) for subject, _rate, quota in limited if quota
    )
    return Limits(row.key__tenant_id, rate_limits, quotas) if rate_limits or quotas else None


def _parsed(stored: str | None) -> dict[str, Any] | None:
    limit: dict[str, Any] | None = None if stored is None else json.loads(stored)
    return limit


def _in_utc(naive: datetime | None) -> datetime | None:
    return None if naive is None else naive.replace(tzinfo=UTC)
