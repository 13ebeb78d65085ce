"""The use of links in mails."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from accounts import email_tokens
from accounts.models import EmailToken, User
from core.errors import Invalid


class BadMailLink(Invalid):
    """A token that was used, expired, or overtaken by a changed password or address."""

    def __init__(self) -> None:
        super().__init__({"token": [_("This link is not valid any more; ask for a new one")]})


def lock_for_mail_link(found: EmailToken) -> User:
    """Use up a token, and return its user, locked. Of several at once, one succeeds. Raise BadMailLink."""
    user = User.objects.select_for_update().filter(pk=found.user_id).first()
    if user is None or not email_tokens.consume(found, user):
        raise BadMailLink
    return user
