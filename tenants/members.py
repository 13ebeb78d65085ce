"""The members of a tenant: roles, leaving, and handing the tenant over to another member."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import services as accounts
from accounts.models import QueuedMail, User
from core import audit, epoch
from core.actor import Actor
from core.audit import AuditChange
from core.db import transactional, transactional_and_propagated, translate_unique_violation
from core.errors import Conflict, Invalid
from tenants.access import get_tenant, lock_tenant
from tenants.capacity import Resource, check_limit
from tenants.errors import NAME_TAKEN, MemberNotFound, TenantReadOnly
from tenants.models import Membership, OwnershipOffer, Role, Tenant, TenantStatus
from tenants.notices import notify_member
from tenants.roles import Access

OFFER_LIFETIME = timedelta(days=7)


def members_of(tenant: Tenant) -> QuerySet[Membership]:
    """Return the memberships of a tenant with their users, the oldest first."""
    return Membership.objects.filter(tenant=tenant).select_related("user").order_by("created_at", "user_id")


def managers_of(tenant: Tenant) -> list[User]:
    """Return the active owner and admins of a tenant who have confirmed their address."""
    managing = {"memberships__tenant": tenant, "memberships__role__in": (Role.OWNER, Role.ADMIN)}
    users = User.objects.filter(**managing, is_active=True, verified_email__isnull=False).order_by("pk")
    return [user for user in users if user.email_verified]


@transactional
def change_role(*, actor: Actor, tenant: Tenant, user_id: str, role: Role) -> Membership:
    """Change the role of a member, and return the membership.

    Raise Forbidden if the actor's own role does not allow it any more, MemberNotFound, and Invalid where the owner's
    role would change.
    """
    row = _lock_to_manage(actor, tenant)
    membership = _get_member(row, user_id)
    _check_no_owner(row, user_id, role)
    return _store_and_notify(actor, row, membership, role)


@transactional_and_propagated
def set_member(*, actor: Actor, tenant: Tenant, user_id: str, role: Role) -> None:
    """Give a person a role in a tenant, as an operator. The owner's role hands the tenant over to them at once.

    Raise TenantNotFound, NotFound for a deleted person, TenantNameTaken if a tenant of theirs has the name,
    TenantLimitReached, and Invalid for a lesser role of the owner.
    """
    row = lock_tenant(tenant.pk)
    accounts.lock_user(user_id)
    if role == Role.OWNER and user_id != row.owner_id:
        _hand_over(actor, row, user_id)
        return
    # Even if nothing changes: another request may have made the same change a moment ago and still be waiting.
    if role == Role.OWNER and settings.KEYS_OFF_WITH_OWNER:
        epoch.invalidate(row.id)
    _check_no_owner(row, user_id, role)
    _store_and_notify(actor, row, _find_member(row, user_id) or _new_member(row, user_id), role)


def add_member(*, actor: Actor, tenant: Tenant, user_id: str, role: Role) -> Membership:
    """Add a user to a locked tenant, without a mail, and return the membership. Raise TenantLimitReached."""
    return _store(actor, _new_member(tenant, user_id), role)


@transactional
def remove_member(*, actor: Actor, tenant: Tenant, user_id: str) -> None:
    """Take away a person's role in a tenant. A person may take away their own, whatever it is.

    Raise TenantNotFound, Forbidden, MemberNotFound, and Invalid for the tenant's owner.
    """
    row = lock_tenant(tenant.pk) if actor.id == user_id else _lock_to_manage(actor, tenant)
    membership = _get_member(row, user_id)
    if row.owner_id == user_id:
        raise Invalid({"user": [_("The tenant's owner cannot be removed; hand the tenant over first")]})
    before = _audit_state(membership)
    membership.delete()
    OwnershipOffer.objects.filter(tenant=row, user_id=user_id).delete()
    accounts.end_tokens_in(actor, tenant_id=row.id, user_id=user_id)
    audit.record(actor=actor, action="membership.remove", object_id=row.id, tenant_id=row.id, before=before)
    notify_member(QueuedMail.Kind.MEMBER_REMOVED, actor=actor, tenant=row, user_id=user_id)


def remove_from_all(actor: Actor, user: User) -> None:
    """Take away a person's role in every tenant, and offers of tenants to them, before their account is deleted.

    Their row is locked, so that nobody gives them another role meanwhile.
    """
    offers = OwnershipOffer.objects.filter(user=user)
    withdrawn = [AuditChange(row.pk, row.pk, before={"owner_id": user.pk}) for row in offers.select_for_update()]
    offers.delete()
    audit.record_all(actor=actor, action="ownership.withdraw", changes=withdrawn)
    memberships = Membership.objects.filter(user=user).select_related("user").order_by("pk")
    removed = [AuditChange(row.tenant_id, row.tenant_id, _audit_state(row)) for row in memberships.select_for_update()]
    memberships.delete()
    audit.record_all(actor=actor, action="membership.remove", changes=removed)


@transactional
def offer_tenant(*, actor: Actor, tenant: Tenant, user_id: str) -> OwnershipOffer:
    """Offer a tenant to another member, in place of a former offer. It is theirs when they accept it.

    Raise Forbidden for all but the owner, MemberNotFound, and Invalid for the owner themselves.
    """
    row = lock_tenant(tenant.pk)
    get_tenant(actor, row.pk, Access.OWN)
    _get_member(row, user_id)
    if row.owner_id == user_id:
        raise Invalid({"user_id": [_("This person owns the tenant already")]})
    OwnershipOffer.objects.filter(tenant=row).delete()
    offer = OwnershipOffer.objects.create(tenant=row, user_id=user_id, expires_at=timezone.now() + OFFER_LIFETIME)
    audit.record(actor=actor, action="ownership.offer", object_id=row.id, tenant_id=row.id, after={"owner_id": user_id})
    notify_member(QueuedMail.Kind.TENANT_OFFERED, actor=actor, tenant=row, user_id=user_id)
    return offer


@transactional
def withdraw_offer(*, actor: Actor, tenant: Tenant) -> OwnershipOffer:
    """Withdraw the offer of a tenant, or decline it, and return it.

    Raise Conflict if there is none, and Forbidden for all but the owner and the person whom it is offered to.
    """
    row = lock_tenant(tenant.pk)
    offer = _find_offer(row)
    if offer is None:
        raise Conflict(_("There is no open offer of this tenant"))
    if offer.user_id != actor.id:
        get_tenant(actor, row.pk, Access.OWN)
    OwnershipOffer.objects.filter(tenant=row).delete()
    audit.record(
        actor=actor,
        action="ownership.withdraw",
        object_id=row.id,
        tenant_id=row.id,
        before={"owner_id": offer.user_id},
    )
    return offer


@transactional_and_propagated
def accept_tenant(*, actor: Actor, tenant: Tenant) -> Tenant:
    """Become the owner of a tenant that was offered, and return it. Its owner becomes an admin of it.

    Raise Conflict if it is not offered to the person who acts, TenantReadOnly, and TenantNameTaken.
    """
    row = lock_tenant(tenant.pk)
    offer = _find_offer(row)
    if offer is None or offer.user_id != actor.id:
        raise Conflict(_("There is no open offer of this tenant for you; ask its owner for one"))
    if row.status == TenantStatus.SUSPENDED:
        raise TenantReadOnly
    accounts.lock_user(offer.user_id)  # so that they cannot close their account meanwhile
    _hand_over(actor, row, offer.user_id)
    return row


def _lock_to_manage(actor: Actor, tenant: Tenant) -> Tenant:
    """Lock a tenant, so that its members change one at a time, and check the actor's own role again."""
    row = lock_tenant(tenant.pk)
    get_tenant(actor, row.pk, Access.MANAGE_MEMBERS)
    return row


def _find_member(tenant: Tenant, user_id: str) -> Membership | None:
    return Membership.objects.select_for_update().filter(tenant=tenant, user_id=user_id).first()


def _get_member(tenant: Tenant, user_id: str) -> Membership:
    membership = _find_member(tenant, user_id)
    if membership is None:
        raise MemberNotFound
    return membership


def _new_member(tenant: Tenant, user_id: str) -> Membership:
    check_limit(tenant, Resource.MEMBERS)
    return Membership(tenant=tenant, user_id=user_id)


def _check_no_owner(tenant: Tenant, user_id: str, role: Role) -> None:
    """Raise Invalid for a change of who owns the tenant."""
    if tenant.owner_id == user_id and role != Role.OWNER:
        raise Invalid({"role": [_("The tenant's owner keeps this role; hand the tenant over first")]})
    if tenant.owner_id != user_id and role == Role.OWNER:
        raise Invalid({"role": [_("A tenant has one owner, who can hand it over")]})


def _store(actor: Actor, membership: Membership, role: Role) -> Membership:
    before = _audit_state(membership) if membership.pk else None
    if before is not None and before["role"] == role:
        return membership
    membership.role = role
    membership.save()
    audit.record(
        actor=actor,
        action="membership.set",
        object_id=membership.tenant_id,
        tenant_id=membership.tenant_id,
        before=before,
        after=_audit_state(membership),
        identity=("user", "username"),
    )
    return membership


def _store_and_notify(actor: Actor, tenant: Tenant, membership: Membership, role: Role) -> Membership:
    """Store the role that somebody else gave a person, and tell them if it is a new one."""
    if membership.role != role:
        notify_member(QueuedMail.Kind.ROLE_CHANGED, actor=actor, tenant=tenant, user_id=membership.user_id, role=role)
    return _store(actor, membership, role)


def _hand_over(actor: Actor, tenant: Tenant, user_id: str) -> None:
    """Make a person the owner of a locked tenant, and its owner until now an admin."""
    before, former = {"owner_id": tenant.named_owner_id}, tenant.owner_id
    tenant.owner_id = tenant.owner_scope = user_id
    tenant.updated_at = timezone.now()
    with translate_unique_violation(NAME_TAKEN):
        tenant.save(update_fields=["owner", "owner_scope", "updated_at"])
    audit.record(
        actor=actor,
        action="ownership.transfer",
        object_id=tenant.id,
        tenant_id=tenant.id,
        before=before,
        after={"owner_id": user_id},
    )
    OwnershipOffer.objects.filter(tenant=tenant).delete()
    if former is not None:
        _store(actor, _get_member(tenant, former), Role.ADMIN)
    _store(actor, _find_member(tenant, user_id) or _new_member(tenant, user_id), Role.OWNER)
    owner = User.objects.get(pk=user_id).username
    for person, role in ((former, Role.ADMIN), (user_id, Role.OWNER)):
        if person is not None:
            notify_member(
                QueuedMail.Kind.OWNER_CHANGED, actor=actor, tenant=tenant, user_id=person, role=role, person=owner
            )
    if settings.KEYS_OFF_WITH_OWNER:
        epoch.invalidate(tenant.id)


def _find_offer(tenant: Tenant) -> OwnershipOffer | None:
    return OwnershipOffer.objects.filter(tenant=tenant, expires_at__gt=timezone.now()).first()


def _audit_state(membership: Membership) -> dict[str, Any]:
    """Return what the audit log keeps of the person whose role changes: the tenant is the row's object."""
    return {"user": membership.user_id, "username": membership.user.username, "role": membership.role}
