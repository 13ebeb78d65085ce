"""Invitations into a tenant, by a link to an e-mail address (docs/decisions/0042-teams.md).

A link is good once, for seven days, and as long as whoever sent it may invite.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts import services as accounts
from accounts.email_tokens import INVITATION_LIFETIME
from accounts.models import Invitation, QueuedMail, User
from accounts.services import BadMailLink, Invited
from core import audit
from core.actor import Actor
from core.audit import AuditChange
from core.db import transactional
from core.errors import Conflict, Invalid
from core.text import fold
from tenants import members
from tenants.access import get_tenant, lock_tenant
from tenants.capacity import Resource, check_limit
from tenants.errors import ForAnotherAddress, InvitationNotFound, TenantNotFound, TenantReadOnly
from tenants.models import Membership, Role, Tenant, TenantInvitation, TenantStatus
from tenants.roles import INVITERS, Access

# Of a tenant, until they expire: each is compared with the next one's address.
MAX_INVITATIONS = 1000
_TOO_MANY = _("The tenant has {number} open invitations; revoke some, or wait until they expire")


def invitations_of(tenant: Tenant) -> QuerySet[TenantInvitation]:
    """Return the invitations into a tenant that are valid, newest first."""
    return _valid_invitations().filter(tenant=tenant).order_by("-sent_at", "-invitation_ptr_id")


def get_invitation(tenant: Tenant, invitation_id: str) -> TenantInvitation:
    """Return a valid invitation into a tenant. Raise InvitationNotFound."""
    invitation = invitations_of(tenant).filter(pk=invitation_id).first()
    if invitation is None:
        raise InvitationNotFound
    return invitation


def invite(*, actor: Actor, tenant: Tenant, email: str, role: Role) -> Invited:
    """Invite whoever has this address into a tenant: by a mail, or else by a link that is returned.

    A former invitation of the address ends. Raise what `get_tenant` would, Invalid for what is no address, or a
    member's, TenantLimitReached, Conflict for more than MAX_INVITATIONS, and TooMany.
    """
    accounts.attempt_invitation(actor=actor, email=email)
    return _invite(actor=actor, tenant=tenant, email=email, role=role)


@transactional
def _invite(*, actor: Actor, tenant: Tenant, email: str, role: Role) -> Invited:
    row = lock_tenant(tenant.pk)
    inviter = accounts.lock_user(actor.id or "")  # so that they cannot close their account meanwhile
    get_tenant(actor, row.pk, Access.MANAGE_MEMBERS)
    if Membership.objects.filter(tenant=row, user__email_folded=fold(email)).exists():
        raise Invalid({"email": [_("A member of the tenant has this address")]})
    check_limit(row, Resource.MEMBERS)
    invitations = TenantInvitation.objects.filter(tenant=row)
    former = [each for each in invitations if fold(each.email) == fold(email)]
    if len(invitations) - len(former) >= MAX_INVITATIONS:
        raise Conflict(format_lazy(_TOO_MANY, number=MAX_INVITATIONS))
    for each in former:
        _end(actor, each)
    invitation = TenantInvitation.objects.create(
        tenant=row,
        email=email,
        role=role,
        inviter=inviter,
        confirms_email=settings.MAIL_IS_SET_UP,
        expires_at=timezone.now() + INVITATION_LIFETIME,
    )
    audit.record(
        actor=actor,
        action="invitation.create",
        object_id=invitation.id,
        tenant_id=row.id,
        after=_audit_state(invitation),
    )
    return accounts.send_invitation(
        actor=actor,
        invitation=invitation,
        kind=QueuedMail.Kind.TENANT_INVITATION,
        action="join-tenant",
        tenant_name=row.tenant_name,
        role=role.label,
        person=inviter.username,
    )


@transactional
def revoke(*, actor: Actor, tenant: Tenant, invitation_id: str) -> None:
    """Delete an invitation, so that its link is not good any more. Raise InvitationNotFound, and as `get_tenant`."""
    row = lock_tenant(tenant.pk)
    get_tenant(actor, row.pk, Access.MANAGE_MEMBERS)
    invitation = TenantInvitation.objects.select_for_update().filter(tenant=row, pk=invitation_id).first()
    if invitation is None:
        raise InvitationNotFound
    _end(actor, invitation)


def revoke_all_by(actor: Actor, user: User) -> None:
    """Revoke the invitations into tenants that a person has sent, before their account is deleted."""
    invitations = TenantInvitation.objects.filter(inviter=user)
    revoked = [
        AuditChange(row.id, row.tenant_id, _audit_state(row))
        for row in invitations.select_for_update().order_by("pk")
        if row.expires_at > timezone.now()
    ]
    invitations.delete()
    audit.record_all(actor=actor, action="invitation.revoke", changes=revoked)


def find(*, actor: Actor, token: str) -> TenantInvitation:
    """Return the invitation of a token, with its tenant and inviter. Raise BadMailLink, and TooMany."""
    found = accounts.find_invitation(actor=actor, token=token)
    invitation = _valid_invitations().filter(pk=found.pk).first()
    if invitation is None:
        raise BadMailLink
    return invitation


def accept(*, actor: Actor, token: str) -> Membership:
    """Join a tenant by the token of an invitation, and return the membership with the tenant.

    A link that came by mail confirms the address of the account. Raise BadMailLink, ForAnotherAddress, Conflict for a
    member, TenantReadOnly, TenantLimitReached, and TooMany.
    """
    return _accept(actor=actor, found=find(actor=actor, token=token))


@transactional
def _accept(*, actor: Actor, found: TenantInvitation) -> Membership:
    invitation = lock_invitation(found)
    if invitation is None:
        raise BadMailLink
    user = accounts.lock_user(actor.id or "")
    if user.email_folded != fold(invitation.email):
        raise ForAnotherAddress
    if Membership.objects.filter(tenant=invitation.tenant, user=user).exists():
        raise Conflict(_("You are a member of this tenant already"))
    accounts.accept_invitation(actor=actor, invitation=invitation, user=user, tenant_id=invitation.tenant_id)
    user.save(update_fields=["verified_email"])
    return join(actor=actor, invitation=invitation, user=user)


def lock_invitation(found: Invitation) -> TenantInvitation | None:
    """Lock an invitation and its tenant, and return it with that, or None if it is not valid any more.

    Raise TenantReadOnly if the tenant is suspended.
    """
    tenant_id = TenantInvitation.objects.filter(pk=found.pk).values_list("tenant_id", flat=True).first()
    try:
        lock_tenant(tenant_id or "")
    except TenantNotFound:
        return None
    Invitation.objects.select_for_update().filter(
        pk=found.pk
    ).first()  # locked, because sending its mail again renews the token
    invitation = _valid_invitations().filter(pk=found.pk, digest=found.digest).first()
    if invitation is not None and invitation.tenant.status == TenantStatus.SUSPENDED:
        raise TenantReadOnly
    return invitation


def join(*, actor: Actor, invitation: TenantInvitation, user: User) -> Membership:
    """Make a user a member by an invitation that was just accepted. Raise TenantLimitReached."""
    return members.add_member(actor=actor, tenant=invitation.tenant, user_id=user.pk, role=Role(invitation.role))


def _valid_invitations() -> QuerySet[TenantInvitation]:
    """Return the invitations that have not expired, and whose senders may still invite."""
    inviters = Membership.objects.filter(tenant=OuterRef("tenant"), user=OuterRef("inviter"), role__in=INVITERS)
    rows = TenantInvitation.objects.select_related("tenant", "inviter")
    return rows.filter(Exists(inviters), inviter__is_active=True, expires_at__gt=timezone.now())


def _end(actor: Actor, invitation: TenantInvitation) -> None:
    invitation_id = invitation.id
    invitation.delete()
    audit.record(
        actor=actor,
        action="invitation.revoke",
        object_id=invitation_id,
        tenant_id=invitation.tenant_id,
        before=_audit_state(invitation),
    )


def _audit_state(invitation: TenantInvitation) -> dict[str, Any]:
    return {"email": invitation.email, "role": invitation.role}
