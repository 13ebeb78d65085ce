"""Mails that tell people what others did to their place in a tenant."""

from __future__ import annotations

from accounts import services as accounts
from accounts.models import QueuedMail, User
from core.actor import Actor
from tenants.models import Membership, Role, Tenant


def notify_member(
    kind: QueuedMail.Kind, *, actor: Actor, tenant: Tenant, user_id: str, role: Role | None = None, person: str = ""
) -> None:
    """Queue a mail to a person about a change, unless they made it themselves.

    `role` is theirs from now on, `person` the username of the tenant's new owner.
    """
    user = None if user_id == actor.id else User.objects.filter(pk=user_id).first()
    if user is not None:
        label = "" if role is None else role.label
        accounts.notify(
            kind, actor=actor, user=user, to=user.email, tenant_name=tenant.tenant_name, role=label, person=person
        )


def notify_members_without_factor(*, actor: Actor, tenant: Tenant) -> None:
    """Queue a mail to each member who has no second factor."""
    without = Membership.objects.filter(~accounts.with_factor("user"), tenant=tenant, user__is_active=True)
    for membership in without.select_related("user").order_by("pk"):
        accounts.notify(
            QueuedMail.Kind.FACTOR_REQUIRED,
            actor=actor,
            user=membership.user,
            to=membership.user.email,
            tenant_name=tenant.tenant_name,
        )
