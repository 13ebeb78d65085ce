"""The texts of mails about a person's place in a tenant, in English and Chinese."""

from __future__ import annotations

from django.utils.translation import gettext

from accounts.mail.outbox import Content
from accounts.mail.texts import Letter, account, link, looks_like_a_link
from accounts.models import QueuedMail, User
from core.display import isolated


def invitation(content: Content, token: str) -> Letter:
    """Return the invitation. Leave out names that look like links, because the recipient may be a stranger."""
    names = [
        sentence % {"name": isolated(name)}
        for sentence, name in (
            (gettext("Tenant: %(name)s"), content.tenant_name),
            (gettext("Invited by: %(name)s"), content.person),
        )
        if not looks_like_a_link(name)
    ]
    return Letter(
        subject=gettext("Invitation into a tenant"),
        paragraphs=[
            gettext("You are invited to work with others in a tenant, with this e-mail address."),
            *names,
            *_role(content),
            gettext("The link works once, within seven days. Whoever has no account opens one with it."),
            gettext("If you did not expect it, ignore this mail."),
        ],
        link=link("join-tenant", token),
        link_text=gettext("See the invitation"),
    )


def notice(kind: str, user: User, content: Content) -> Letter:
    """Return the mail to a member about a change that somebody else made."""
    subject, sentence = _notice(kind)
    person = [gettext("Owner: %(name)s") % {"name": isolated(content.person)}] if content.person else []
    return Letter(
        subject=subject,
        paragraphs=[
            sentence,
            gettext("Tenant: %(name)s") % {"name": isolated(content.tenant_name)},
            *person,
            *_role(content),
            *account(user),
        ],
    )


def _notice(kind: str) -> tuple[str, str]:
    """Return the subject of a notice, and its first sentence."""
    match kind:
        case QueuedMail.Kind.ROLE_CHANGED:
            return gettext("Your role in a tenant"), gettext("You have a new role in a tenant.")
        case QueuedMail.Kind.MEMBER_REMOVED:
            return gettext("You were removed from a tenant"), gettext("You are no member of this tenant any more.")
        case QueuedMail.Kind.TENANT_OFFERED:
            return gettext("A tenant is offered to you"), gettext(
                "The owner of a tenant offers it to you. If you accept it within seven days, it is yours."
            )
        case QueuedMail.Kind.OWNER_CHANGED:
            return gettext("A tenant has a new owner"), gettext("A tenant of yours has been handed over.")
        case QueuedMail.Kind.FACTOR_REQUIRED:
            return gettext("A tenant requires a second factor"), gettext(
                "A tenant requires a second factor of its members now. Until you add an authenticator app or a passkey "
                "to your account, you cannot use it."
            )
    raise AssertionError(kind)


def _role(content: Content) -> list[str]:
    return [gettext("Your role: %(role)s") % {"role": content.role}] if content.role else []
