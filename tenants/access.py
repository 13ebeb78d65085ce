"""Access to tenants, and through them to everything that belongs to one.

A missing tenant and another person's both raise TenantNotFound. A person's role decides what they may do, and the scope
of the personal access token by which they act; one that is for a single tenant reaches no other. The internal surface,
operators and commands are trusted with every tenant.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from core.actor import Actor, ActorKind, TokenScope
from core.db import from_primary
from core.errors import DomainError, Forbidden, ReadOnlyToken
from core.prepared import prepared_query
from tenants.errors import TenantNotFound, TenantReadOnly
from tenants.models import Membership, Role, Tenant, TenantStatus
from tenants.roles import ALLOWED, Access

_READING = frozenset({Access.READ, Access.READ_AUDIT})  # which a suspended tenant allows


def tenants_for(actor: Actor) -> QuerySet[Tenant]:
    """Return the tenants that the actor may read, newest first."""
    rows = Tenant.objects.order_by("-created_at", "-id")
    if actor.is_trusted:
        return rows
    return rows.filter(pk__in=tenant_ids_for(actor))


def tenant_ids_for(actor: Actor) -> QuerySet[Any, Any]:
    """Return the ids of the tenants that a person may read."""
    return memberships_for(actor).values("tenant_id")


def memberships_for(actor: Actor) -> QuerySet[Membership]:
    """Return the memberships by which a person may enter tenants; none for anybody else."""
    if actor.kind != ActorKind.USER:
        return Membership.objects.none()
    rows = Membership.objects.filter(user_id=actor.id)
    return rows if actor.only_tenant_id is None else rows.filter(tenant_id=actor.only_tenant_id)


def get_tenant(actor: Actor, tenant_id: str, access: Access) -> Tenant:
    """Return the tenant if the actor has this access to it.

    Raise TenantNotFound, Forbidden if the person's role or token does not allow it, and TenantReadOnly for a person's
    write to a suspended tenant.
    """
    if actor.is_trusted:
        tenants = _select_tenant(tenant_id)
        if not tenants:
            raise TenantNotFound
        return tenants[0]
    is_open = actor.kind == ActorKind.USER and actor.may_enter(tenant_id)
    memberships = _select_membership(tenant_id, actor.id) if is_open else []
    if not memberships:
        raise TenantNotFound
    _check(actor, memberships[0], access)
    return memberships[0].tenant


@from_primary
@prepared_query
def _select_tenant(tenant_id: str) -> QuerySet[Tenant]:
    return Tenant.objects.filter(pk=tenant_id)


@from_primary
@prepared_query
def _select_membership(tenant_id: str, user_id: str | None) -> QuerySet[Membership]:
    return Membership.objects.select_related("tenant").filter(tenant_id=tenant_id, user_id=user_id)


def tenant_errors(actor: Actor, tenant_ids: Collection[str], access: Access) -> dict[str, DomainError]:
    """Return the error that `get_tenant` would raise for each of these existing tenants, with one query for all."""
    if actor.is_trusted:
        return {}
    errors: dict[str, DomainError] = {tenant_id: TenantNotFound() for tenant_id in tenant_ids}
    for membership in memberships_for(actor).select_related("tenant").filter(tenant_id__in=tenant_ids):
        try:
            _check(actor, membership, access)
        except (Forbidden, TenantReadOnly) as error:
            errors[membership.tenant_id] = error
        else:
            del errors[membership.tenant_id]
    return errors


def _check(actor: Actor, membership: Membership, access: Access) -> None:
    """Raise Forbidden if role or token forbid this access, and TenantReadOnly for a write to a suspended tenant."""
    if access not in ALLOWED[Role(membership.role)]:
        raise Forbidden(_("Your role in this tenant does not allow this; ask its owner"))
    if access in _READING:
        return
    _check_scope(actor)
    if membership.tenant.status == TenantStatus.SUSPENDED:
        raise TenantReadOnly


def _check_scope(actor: Actor) -> None:
    """Raise ReadOnlyToken for a write by a token that may only read."""
    if actor.token is not None and not actor.token.allows(TokenScope.WRITE):
        raise ReadOnlyToken


def check_creation(actor: Actor) -> None:
    """Raise Forbidden for a token that may not create tenants: it may only read, or is for one tenant alone."""
    _check_scope(actor)
    if actor.only_tenant_id is not None:
        raise Forbidden(_("This personal access token is for one tenant, and cannot create another"))


def default_tenant(actor: Actor, access: Access) -> Tenant:
    """Return the tenant of a person who names none: the first they joined. Raise as `get_tenant`."""
    first = memberships_for(actor).order_by("created_at", "id").first()
    if first is None:
        raise TenantNotFound(_("You belong to no tenant yet"))
    return get_tenant(actor, first.tenant_id, access)
