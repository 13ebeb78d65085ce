"""The rules about tenants and who belongs to them."""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import partial
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import services as accounts
from accounts.models import User
from agent_config.document import agent_defaults
from agent_config.updates import apply_tenant_update, masked_tenant_config
from core import audit, change_feed, epoch
from core.actor import Actor, ActorKind
from core.db import transactional, unique_or
from core.errors import Invalid
from core.models import Change
from core.revisions import check_revision
from tenants.errors import TenantNameTaken, TenantNotFound
from tenants.models import Membership, Role, Tenant, TenantType
from tenants.templates import templates_below

_VERIFICATION_FIELDS = {"status", "rate_limit", "quota"}
_NAME_TAKEN = {"tenant_name_unique": TenantNameTaken(), "name_folded": TenantNameTaken()}


def audit_state(tenant: Tenant) -> dict[str, Any]:
    """What the audit log keeps of a tenant."""
    return {
        "tenant_name": tenant.tenant_name,
        "tenant_type": tenant.tenant_type,
        "description": tenant.description,
        "contact_email": tenant.contact_email,
        "tenant_config": masked_tenant_config(tenant.tenant_config),
        "status": tenant.status,
        "owner_id": tenant.named_owner_id,
        "rate_limit": tenant.rate_limit,
        "quota": tenant.quota,
    }


def register(*, actor: Actor, username: str, password: str, email: str | None = None) -> User:
    """Create a user with a personal tenant, or neither.

    Raise TooManyRequests, Forbidden where registration is closed, Invalid for bad or taken input, and Unavailable.
    """
    accounts.check_registration(username=username, address=actor.address)
    user = accounts.new_user(username=username, password=password, email=email)
    _add_with_tenant(actor=actor, user=user)
    return user


@transactional
def _add_with_tenant(*, actor: Actor, user: User) -> None:
    accounts.add_user(actor=actor, user=user)
    create_tenant(
        actor=actor,
        tenant_name=f"{user.username}'s Personal Tenant",
        tenant_type=TenantType.PERSONAL,
        owner_id=user.id,
        contact_email=user.email,
    )


@transactional
def create_tenant(
    *,
    actor: Actor,
    tenant_name: str,
    tenant_type: str,
    description: str | None = None,
    contact_email: str | None = None,
    tenant_config: dict[str, Any] | None = None,
    owner_id: str | None = None,
    rate_limit: dict[str, Any] | None = None,
    quota: dict[str, Any] | None = None,
    strict: bool = False,
) -> Tenant:
    """Create a tenant. A person becomes the owner of what they make; others name an owner or none.

    An `owner_id` that names no user is kept for a user who may come later, and gives nobody rights. Raise
    TenantNameTaken, BadConfig, and Invalid for a bad name.
    """
    if actor.kind == ActorKind.USER:
        owner_id = actor.id
    owner = User.objects.filter(pk=owner_id).first() if owner_id else None
    tenant = Tenant(
        tenant_type=tenant_type,
        description=description,
        contact_email=contact_email,
        owner=owner,
        owner_scope=owner_id or "",
        rate_limit=rate_limit,
        quota=quota,
    )
    tenant.tenant_config, tenant.config_warnings = apply_tenant_update(
        None, tenant_config, templates=templates_below(tenant), strict=strict
    )
    tenant.change_name(tenant_name)
    with unique_or(_NAME_TAKEN):
        tenant.save(force_insert=True)
    if owner is not None:
        Membership.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
    audit.record(
        actor=actor, action="tenant.create", object_id=tenant.id, tenant_id=tenant.id, after=audit_state(tenant)
    )
    return tenant


def lock_tenant(tenant_id: str) -> Tenant:
    """The tenant's row, locked until the transaction ends, so that it cannot be deleted meanwhile.

    Raises TenantNotFound.
    """
    row = Tenant.objects.select_for_update().filter(pk=tenant_id).first()
    if row is None:
        raise TenantNotFound
    return row


@transactional
def update_tenant(
    *,
    actor: Actor,
    tenant: Tenant,
    changes: Mapping[str, Any],
    expected: Container[int] | None = None,
    strict: bool = False,
) -> Tenant:
    """Changes any of `tenant_name, tenant_type, description, contact_email, tenant_config, status,
    rate_limit, quota`; only while the tenant's revision is an `expected` one (None: any).

    A status and limits are for operators to give: a person's are ignored. Raises TenantNameTaken, TenantNotFound,
    PreconditionFailed, Invalid for a bad name.
    """
    row = lock_tenant(tenant.pk)
    check_revision(row, expected)
    before, config_before, status_before = audit_state(row), row.tenant_config, row.status
    if "tenant_name" in changes:
        row.change_name(changes["tenant_name"])
    if "tenant_config" in changes:
        row.tenant_config, row.config_warnings = apply_tenant_update(
            row.tenant_config,
            changes["tenant_config"],
            templates=templates_below(row),
            may_move_secrets=actor.is_trusted,
            strict=strict,
        )
    fields = ["tenant_type", "description", "contact_email"]
    if actor.is_trusted:
        fields += ["status", "rate_limit", "quota"]
    for field in fields:
        setattr(row, field, changes.get(field, getattr(row, field)))
    after = audit_state(row)
    # Also where nothing changes: the same change may have been made a moment ago, and still be waiting.
    if actor.is_trusted and not _VERIFICATION_FIELDS.isdisjoint(changes):
        epoch.invalidate(row.id)
    if not audit.differ([before, config_before], [after, row.tenant_config]):
        return row
    row.updated_at = timezone.now()
    with unique_or(_NAME_TAKEN):
        row.save(update_fields=["tenant_name", "name_folded", "tenant_config", *fields, "updated_at"])
    has_new_defaults = audit.differ(agent_defaults(config_before), agent_defaults(row.tenant_config))
    if has_new_defaults:
        epoch.numbered(partial(set_revision, row))
    if has_new_defaults or row.status != status_before:
        change_feed.publish(Change.Kind.TENANT, [row.id], tenant_id=row.id)
    audit.record(actor=actor, action="tenant.update", object_id=row.id, tenant_id=row.id, before=before, after=after)
    return row


@transactional
def delete_tenant(*, actor: Actor, tenant: Tenant, expected: Container[int] | None = None) -> None:
    """Removes a tenant and everything in it.

    Raises TenantNotFound if it is already gone, PreconditionFailed.
    """
    row = lock_tenant(tenant.pk)
    check_revision(row, expected)
    before = audit_state(row)
    epoch.invalidate(row.id)
    change_feed.publish(
        Change.Kind.DELETED, row.agents(manager="unscoped").values_list("pk", flat=True), tenant_id=row.id
    )
    row.delete()
    audit.record(actor=actor, action="tenant.delete", object_id=tenant.id, tenant_id=tenant.id, before=before)


@transactional
def set_member(*, actor: Actor, tenant: Tenant, user_id: str, role: str) -> None:
    """Gives a person a role in a tenant; the tenant's owner stays its owner. Raises Invalid and TenantNotFound."""
    lock_tenant(tenant.pk)  # one change at a time of who belongs to it
    if tenant.owner_id == user_id and role != Role.OWNER:
        raise Invalid({"role": [_("The tenant's owner cannot be made a member")]})
    membership = Membership.objects.select_for_update().filter(tenant=tenant, user_id=user_id).first()
    if membership is not None and membership.role == role:
        return
    person = _audit_state(user_id)
    before = {**person, "role": membership.role} if membership else None
    Membership.objects.update_or_create(tenant=tenant, user_id=user_id, defaults={"role": role})
    audit.record(
        actor=actor,
        action="membership.set",
        object_id=tenant.id,
        tenant_id=tenant.id,
        before=before,
        after={**person, "role": role},
        identity=person,
    )


@transactional
def remove_member(*, actor: Actor, tenant: Tenant, user_id: str) -> None:
    """Takes a person's role in a tenant away; the tenant's owner stays. Raises Invalid and TenantNotFound."""
    lock_tenant(tenant.pk)
    if tenant.owner_id == user_id:
        raise Invalid({"user": [_("The tenant's owner cannot be removed")]})
    membership = Membership.objects.filter(tenant=tenant, user_id=user_id).first()
    if membership is not None:
        membership.delete()
        audit.record(
            actor=actor,
            action="membership.remove",
            object_id=tenant.id,
            tenant_id=tenant.id,
            before={**_audit_state(user_id), "role": membership.role},
        )


def _audit_state(user_id: str) -> dict[str, Any]:
    """Return what the audit log keeps of the person whose role changes: the tenant is the row's object."""
    username = User.objects.filter(pk=user_id).values_list("username", flat=True).first()
    return {"user": user_id, "username": username}


def memberships_of(user_id: str) -> list[Membership]:
    """A person's memberships with their tenants, oldest first."""
    return list(Membership.objects.select_related("tenant").filter(user_id=user_id).order_by("created_at", "id"))


def set_revision(tenant: Tenant, number: int) -> None:
    """Notes the epoch of a change of the tenant's `agent_defaults`."""
    tenant.defaults_revision = number
    Tenant.objects.filter(pk=tenant.pk).update(defaults_revision=number)
