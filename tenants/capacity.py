"""Limits on the agents, keys and members of a tenant: its own, or the defaults (MAIM_TENANT_MAX_AGENTS …)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from django.conf import settings
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from core import counts
from core.counts import Kind
from tenants.errors import TenantLimitReached
from tenants.models import Membership, Tenant


class Resource(StrEnum):
    """A resource that a tenant may have a limited number of."""

    AGENTS = "agents"
    KEYS = "keys"
    MEMBERS = "members"


_FULL = {
    Resource.AGENTS: _(
        "The tenant has reached its limit of {limit} agents, archived ones included; ask an operator for more"
    ),
    Resource.KEYS: _(
        "The tenant has reached its limit of {limit} keys, disabled ones included; ask an operator for more"
    ),
    Resource.MEMBERS: _("The tenant has reached its limit of {limit} members; ask an operator for more"),
}


class Capacity(NamedTuple):
    """The limit on a resource, None for none, and how many of it there are."""

    limit: int | None
    used: int


def limit_of(tenant: Tenant, resource: Resource) -> int | None:
    """Return how many of a resource the tenant may have, None for any number."""
    limit: int | None = (tenant.limits or {}).get(resource, settings.TENANT_LIMITS[resource])
    return limit


def capacity_of(tenant: Tenant) -> dict[str, Capacity]:
    """Return the limit on each resource, and how many the tenant has."""
    return {resource.value: Capacity(limit_of(tenant, resource), _used(tenant, resource)) for resource in Resource}


def check_limit(locked: Tenant, resource: Resource, *, adding: int = 1) -> None:
    """Raise TenantLimitReached if a tenant, locked so that nobody else adds to it, may not have so many more.

    What its transaction has added so far does not count yet, so a service that adds several asks for all at once.
    """
    limit = limit_of(locked, resource)
    if limit is not None and _used(locked, resource) + adding > limit:
        raise TenantLimitReached(format_lazy(_FULL[resource], limit=limit))


def _used(tenant: Tenant, resource: Resource) -> int:
    if resource == Resource.MEMBERS:
        return Membership.objects.filter(tenant=tenant).count()
    return counts.total(Kind.AGENTS if resource == Resource.AGENTS else Kind.KEYS, [tenant.pk])
