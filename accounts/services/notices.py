"""Mails that tell people of changes of their account."""

from __future__ import annotations

from django.conf import settings

from accounts.mail import outbox
from accounts.models import QueuedMail, User
from core.actor import Actor


def notify(kind: QueuedMail.Kind, *, actor: Actor, user: User, to: str | None) -> None:
    """Queue a notice, if the user had an address and mail is set up."""
    if to and settings.MAIL_IS_SET_UP:
        outbox.put(kind, actor=actor, to=to, user_id=user.pk)
