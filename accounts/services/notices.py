"""Mails that tell people what happened to their account, their place in a tenant, and what they manage."""

from __future__ import annotations

from datetime import timedelta
from typing import Unpack

from django.conf import settings
from django.utils import timezone

from accounts.mail import outbox
from accounts.mail.outbox import Names
from accounts.models import QueuedMail, SignInAddress, User
from core.actor import Actor
from core.addresses import client_network
from core.db import transactional, upsert

REMEMBERED_FOR = timedelta(days=365)


def notify(
    kind: QueuedMail.Kind,
    *,
    actor: Actor,
    user: User,
    to: str | None,
    details: dict[str, str] | None = None,
    **names: Unpack[Names],
) -> None:
    """Queue a notice, if the user had an address and mail is set up."""
    if to and settings.MAIL_IS_SET_UP:
        outbox.put(kind, actor=actor, to=to, user_id=user.pk, details=details, **names)


@transactional
def note_sign_in(*, actor: Actor, user: User) -> None:
    """Remember from where somebody signed in, and tell the user if that is new. The first one is not told.

    IPv6 addresses of one network count as one, as in the throttle.
    """
    if not settings.MAIL_IS_SET_UP or not actor.address:
        return
    now, network = timezone.now(), client_network(actor.address, settings.AUTH_IPV6_PREFIX)
    known = SignInAddress.objects.filter(user=user)
    if known.filter(network=network).update(last_at=now):
        return
    if known.exists():
        notify(QueuedMail.Kind.NEW_SIGN_IN, actor=actor, user=user, to=user.email)
    row = SignInAddress(user=user, network=network, last_at=now)
    upsert(row, unique_fields=["user", "network"], update_fields=["last_at"])


def sweep_addresses() -> int:
    """Delete the addresses from which nobody signed in for REMEMBERED_FOR, and return their number."""
    return SignInAddress.objects.filter(last_at__lt=timezone.now() - REMEMBERED_FOR).delete()[0]
