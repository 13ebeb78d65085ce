"""Access to tenants, and through them to everything that belongs to one.

A missing tenant and another person's both raise TenantNotFound. A person's role decides what they may do, and the scope
of the personal access token by which they act; one that is for a single tenant reaches no other. The internal surface,
operators and commands are trusted with every tenant. A tenant that requires a second factor is refused to its members
without one, and left out of their lists.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from typing import Any

from django.db.models import BooleanField, Func, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import services as accounts
from agent_config import secrets
from agent_config.document import Config
from core.actor import Actor, ActorKind, TokenScope
from core.db import from_primary
from core.errors import DomainError, Forbidden, ReadOnlyToken
from core.prepared import prepared_query
from tenants.errors import MissingSecondFactor, TenantNotFound, TenantReadOnly
from tenants.models import Membership, Role, Tenant, TenantStatus
from tenants.roles import ALLOWED, Access

# The accesses that a suspended tenant allows, and a personal access token that may only read.
READING = frozenset({Access.READ, Access.READ_AUDIT, Access.READ_INVITATIONS})


# A literal in the SQL, because prepared lists (core.prepared.prepared_sql) have no parameter for it.
_FALSE = Func(template="FALSE", output_field=BooleanField())
_ROLE = _("Your role in this tenant does not allow this; ask its owner")
_SECRETS = _("Your role in this tenant does not allow you to set secrets; ask its owner")


def tenants_for(actor: Actor) -> QuerySet[Tenant]:
    """Return the tenants that the actor may read, newest first."""
    rows = Tenant.objects.order_by("-created_at", "-id")
    if actor.is_trusted:
        return rows
    return rows.filter(pk__in=tenant_ids_for(actor))


def tenant_ids_for(actor: Actor) -> QuerySet[Any, Any]:
    """Return the ids of the tenants that a person may read."""
    return _entered_by(actor, open_memberships(actor.id)).values("tenant_id")


def memberships_for(actor: Actor) -> QuerySet[Membership]:
    """Return a person's memberships that their token covers, also where a factor is missing; none for others."""
    return _entered_by(actor, Membership.objects.filter(user_id=actor.id))


def _entered_by(actor: Actor, memberships: QuerySet[Membership]) -> QuerySet[Membership]:
    """Return a person's memberships, as far as the token goes by which they act."""
    if actor.kind != ActorKind.USER:
        return memberships.none()
    only = actor.only_tenant_id
    return memberships if only is None else memberships.filter(tenant_id=only)


def open_memberships(user_id: str | None) -> QuerySet[Membership]:
    """Return the memberships of a person in tenants that do not require a second factor, or that they have one for."""
    return Membership.objects.filter(Q(tenant__requires_mfa=_FALSE) | accounts.with_factor("user"), user_id=user_id)


def get_tenant(actor: Actor, tenant_id: str, access: Access) -> Tenant:
    """Return the tenant if the actor has this access to it.

    Raise TenantNotFound, MissingSecondFactor, Forbidden if the person's role or token does not allow it, and
    TenantReadOnly for a person's write to a suspended tenant.
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
    _check(actor, memberships[0], access, accounts.has_factor)
    return memberships[0].tenant


@from_primary
@prepared_query
def _select_tenant(tenant_id: str) -> QuerySet[Tenant]:
    return Tenant.objects.filter(pk=tenant_id)


@from_primary
@prepared_query
def _select_membership(tenant_id: str, user_id: str | None) -> QuerySet[Membership]:
    return Membership.objects.select_related("tenant").filter(tenant_id=tenant_id, user_id=user_id)


def lock_tenant(tenant_id: str) -> Tenant:
    """Return the tenant's row, locked until the transaction ends, so that it cannot be deleted meanwhile.

    Raise TenantNotFound.
    """
    row = Tenant.objects.select_for_update().filter(pk=tenant_id).first()
    if row is None:
        raise TenantNotFound
    return row


def tenant_errors(actor: Actor, tenant_ids: Collection[str], access: Access) -> dict[str, DomainError]:
    """Return the error that `get_tenant` would raise for each of these existing tenants, with one query for all.

    Another query asks whether the person has a second factor, if one of the tenants requires it.
    """
    if actor.is_trusted:
        return {}
    errors: dict[str, DomainError] = {tenant_id: TenantNotFound() for tenant_id in tenant_ids}
    has_factor = cache(accounts.has_factor)
    for membership in memberships_for(actor).select_related("tenant").filter(tenant_id__in=tenant_ids):
        try:
            _check(actor, membership, access, has_factor)
        except (Forbidden, TenantReadOnly) as error:
            errors[membership.tenant_id] = error
        else:
            del errors[membership.tenant_id]
    return errors


def _check(actor: Actor, membership: Membership, access: Access, has_factor: Callable[[str], bool]) -> None:
    """Raise what `get_tenant` would for the person of a membership."""
    if membership.tenant.requires_mfa and not has_factor(membership.user_id):
        raise MissingSecondFactor
    if access not in ALLOWED[Role(membership.role)]:
        raise Forbidden(_SECRETS if access == Access.SET_SECRETS else _ROLE)
    if access in READING:
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


def check_secrets(actor: Actor, tenant_id: str, config: Config, stored: Config) -> None:
    """Raise what `get_tenant` would if `config` sets a secret that `stored` lacks, and the actor may not set any."""
    if not actor.is_trusted and secrets.sets_any(config, stored):
        get_tenant(actor, tenant_id, Access.SET_SECRETS)
