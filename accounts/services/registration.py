"""Rules about registration: it is open, for people with an invitation, or closed (MAIM_REGISTRATION)."""

from __future__ import annotations

from typing import NamedTuple, Unpack

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import email_tokens, throttle
from accounts.mail import outbox, texts
from accounts.mail.outbox import Names
from accounts.models import Invitation, QueuedMail, User
from accounts.services.mail_links import BadMailLink
from accounts.services.password_login import check_password_login
from accounts.services.users import DUPLICATE_EMAIL
from accounts.validators import email_errors
from core import audit
from core.actor import Actor
from core.db import transactional
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.text import fold


class BadInvitation(Invalid):
    """A token of an invitation that was used, expired, revoked or sent again."""

    def __init__(self) -> None:
        super().__init__({"invitation": [_("This invitation is not valid any more; ask for a new one")]})


class Invited(NamedTuple):
    """A new invitation. `link` is None if it goes out by mail; otherwise it is shown this once."""

    invitation: Invitation
    link: str | None


def check_registration(*, username: str, email: str | None, invitation: str | None, address: str) -> Invitation | None:
    """Count an attempt to register with a password, and return the invitation of a token, if one is given.

    Raise TooMany after too many of them, PasswordLoginOff, Forbidden where registration is closed or takes an
    invitation, BadInvitation, and Invalid for another address than the invited one.
    """
    throttle.attempt(account=username, address=address)
    check_password_login()
    if invitation is None or settings.REGISTRATION == "closed":
        check_registration_open()
        return None
    found = email_tokens.find_invitation(invitation)
    if found is None:
        raise BadInvitation
    if email and fold(email) != fold(found.email):
        raise Invalid({"email": [_("The invitation is for another address; leave this one out")]})
    return found


def check_registration_open() -> None:
    """Raise Forbidden where nobody may register without an invitation (MAIM_REGISTRATION)."""
    if settings.REGISTRATION == "closed":
        raise Forbidden(_("Registration is closed; ask an operator for an account"))
    if settings.REGISTRATION == "invited":
        raise Forbidden(_("Registration takes an invitation; ask an operator for one"))


@transactional
def accept_invitation(*, actor: Actor, invitation: Invitation, user: User, tenant_id: str | None = None) -> None:
    """Use up an invitation for the user with its address, which verifies that. The caller stores the user.

    Raise BadInvitation.
    """
    if not email_tokens.consume_invitation(invitation):
        raise BadInvitation
    if invitation.confirms_email:
        user.verified_email = invitation.email
    audit.record(
        actor=actor,
        action="invitation.accept",
        object_id=invitation.id,
        tenant_id=tenant_id,
        after={**_audit_state(invitation), "user": user.id},
    )


@transactional
def invite(*, actor: Actor, email: str) -> Invited:
    """Invite whoever has this address to register: by a mail, or else by a link that is returned.

    Raise Conflict where registration is closed, PasswordLoginOff, and Invalid for what is no address, or a user's.
    """
    if settings.REGISTRATION == "closed":
        raise Conflict(_("Registration is closed, to people with an invitation, too: change MAIM_REGISTRATION"))
    check_password_login()  # because an invitation is accepted with a new password
    _check_invited(email)
    if User.objects.filter(email_folded=fold(email)).exists():
        raise DUPLICATE_EMAIL
    invitation = Invitation.objects.create(email=email, expires_at=timezone.now() + email_tokens.INVITATION_LIFETIME)
    audit.record(
        actor=actor,
        action="invitation.create",
        object_id=invitation.id,
        tenant_id=None,
        after=_audit_state(invitation),
    )
    return send_invitation(
        actor=actor, invitation=invitation, kind=QueuedMail.Kind.INVITATION, action="accept-invitation"
    )


def send_invitation(
    *, actor: Actor, invitation: Invitation, kind: QueuedMail.Kind, action: str, **names: Unpack[Names]
) -> Invited:
    """Send the link of a new invitation by a mail, or return it where mail is not set up.

    `action` is the part of the link that names the console's page.
    """
    if not settings.MAIL_IS_SET_UP:
        return Invited(invitation, texts.link(action, email_tokens.issue_invitation(invitation)))
    outbox.put(kind, actor=actor, to=invitation.email, invitation_id=invitation.id, **names)
    return Invited(invitation, None)


def attempt_invitation(*, actor: Actor, email: str) -> None:
    """Count an invitation that a person is about to send. Raise Invalid for what is no address, and TooMany."""
    throttle.attempt(account=f"invitations by {actor.id}", address=actor.address)
    _check_invited(email)
    throttle.count_invitation(email=email)


def find_invitation(*, actor: Actor, token: str) -> Invitation:
    """Count an attempt to use an invitation, and return it. Raise BadMailLink, and TooMany."""
    account = f"invitations to {actor.id}" if actor.id else f"link {token}"
    throttle.attempt(account=account, address=actor.address)
    found = email_tokens.find_invitation(token)
    if found is None:
        raise BadMailLink
    return found


def _check_invited(email: str) -> None:
    """Raise Invalid for what is no e-mail address."""
    if not email:
        raise Invalid({"email": [_("The e-mail address must not be empty")]})
    if errors := email_errors(email):
        raise Invalid(errors)


def operator_invitations() -> QuerySet[Invitation]:
    """Return the invitations of operators, newest first."""
    return Invitation.objects.filter(inviter=None).order_by("-created_at", "-id")


@transactional
def revoke_invitation(*, actor: Actor, invitation_id: str) -> None:
    """Delete an operator's invitation, so that its link is not good any more. Raise NotFound."""
    invitation = operator_invitations().select_for_update().filter(pk=invitation_id).first()
    if invitation is None:
        raise NotFound(_("There is no invitation with this id"))
    invitation.delete()
    audit.record(
        actor=actor,
        action="invitation.revoke",
        object_id=invitation_id,
        tenant_id=None,
        before=_audit_state(invitation),
    )


def _audit_state(invitation: Invitation) -> dict[str, object]:
    return {"email": invitation.email}
