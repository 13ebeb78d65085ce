"""The queue of mails, in the database: a mail is queued in the transaction of the change that it tells of.

The text and the link of a mail are made when it is sent, so that the queue holds no link, and the link's time begins
when the mail server takes it. Its recipient is sealed.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TypedDict, Unpack

from django.db.models import F
from django.utils import timezone, translation

from accounts.models import QueuedMail
from core import audit, sealing
from core.actor import Actor, ActorKind, command_actor
from core.db import transactional
from core.errors import Text

log = logging.getLogger("maim.mail")

# A sender that died loses its mail to others after that time. Longer than a mail takes to send.
CLAIM = timedelta(minutes=5)
GIVE_UP_AFTER = timedelta(days=3)
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
_SENDER = command_actor("serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The recipient of a mail, and the request that it was queued by."""

    to: str
    user_id: str | None
    language: str
    request_id: str
    address: str
    # The version before does not store these.
    invitation_id: str | None = None
    details: dict[str, str] | None = None  # of a notice about keys
    about: str = ""
    tenant_name: str = ""
    role: str = ""
    person: str = ""

    @property
    def actor(self) -> Actor:
        """The sender of the request, who need not be the recipient of the mail."""
        return Actor(kind=ActorKind.ANONYMOUS, request_id=self.request_id, address=self.address)


class Names(TypedDict, total=False):
    """The names in a mail.

    `about` is which change of factors it tells (accounts.mail.texts), or at which provider. In a mail about a tenant,
    they are its name, that of a role in it, and somebody's username.
    """

    about: str
    tenant_name: str
    role: Text
    person: str


def put(
    kind: QueuedMail.Kind,
    *,
    actor: Actor,
    to: str,
    user_id: str | None = None,
    invitation_id: str | None = None,
    details: dict[str, str] | None = None,
    **names: Unpack[Names],
) -> None:
    """Queue a mail in the language of the client. A transaction that is rolled back takes it along."""
    language = actor.language or translation.get_language() or "en"
    with translation.override(language):
        texts = {name: str(text) for name, text in names.items()}
    content = Content(
        to=to,
        user_id=user_id,
        language=language,
        request_id=actor.request_id,
        address=actor.address,
        invitation_id=invitation_id,
        details=details,
        **texts,
    )
    QueuedMail.objects.create(kind=kind, content=sealing.seal(json.dumps(asdict(content))))


def read(row: QueuedMail) -> Content:
    """Return the content of a mail. Raise Unsealable."""
    return Content(**json.loads(sealing.unseal(row.content)))


def due(limit: int) -> list[QueuedMail]:
    """Return mails that are due, the oldest first."""
    return list(QueuedMail.objects.filter(due_at__lte=timezone.now()).order_by("due_at", "id")[:limit])


def claim(row: QueuedMail) -> bool:
    """Take a mail for CLAIM, and return whether this succeeded. Of several senders at once, one gets True."""
    claimed = QueuedMail.objects.filter(pk=row.pk, attempts=row.attempts).update(
        attempts=F("attempts") + 1, due_at=timezone.now() + CLAIM
    )
    row.attempts += 1
    return bool(claimed)


def remove(row: QueuedMail) -> None:
    """Delete a mail that was sent, or has nothing to say any more."""
    QueuedMail.objects.filter(pk=row.pk).delete()


def postpone(row: QueuedMail) -> None:
    """Try a claimed mail again later: after a minute, then after twice as long each time, up to an hour."""
    # The exponent is bounded, because a timedelta is.
    pause = min(_FIRST_PAUSE * 2 ** min(row.attempts - 1, 10), _LONGEST_PAUSE)
    QueuedMail.objects.filter(pk=row.pk, attempts=row.attempts).update(due_at=timezone.now() + pause)


def give_up_if_old(row: QueuedMail) -> bool:
    """Give up a mail that could not be sent for GIVE_UP_AFTER, and return whether it is so old."""
    is_old = row.created_at <= timezone.now() - GIVE_UP_AFTER
    if is_old:
        give_up(row, "it could not be sent for three days")
    return is_old


@transactional
def give_up(row: QueuedMail, reason: str) -> None:
    """Delete a mail that cannot be sent, with a line in the log and an audit entry."""
    if QueuedMail.objects.filter(pk=row.pk).delete()[0]:
        log.error("gave up mail %d (%s) after %d attempts: %s", row.pk, row.kind, row.attempts, reason)
        state = {"kind": row.kind, "attempts": row.attempts, "since": row.created_at.isoformat(), "reason": reason}
        audit.record(actor=_SENDER, action="mail.give_up", object_id=str(row.pk), tenant_id=None, before=state)
