"""Requests that may be sent twice and must act once (the Idempotency-Key header).

The answer is kept for TEN_MINUTES, sealed, in the transaction that it tells of: there is never an answer
without its change, nor a change without its answer. A repeat that comes while the first is being
answered waits for it, on the database's own unique index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import epoch, sealing
from core.actor import Actor
from core.db import transactional_and_propagated, upsert
from core.errors import Conflict, Invalid
from core.models import IdempotentAnswer

KEPT_FOR = timedelta(minutes=10)
MAX_KEY_LENGTH = 255


class KeyReused(Conflict):
    message = _("This Idempotency-Key was used for another request; choose a new one")


class AnswerLost(Conflict):
    message = _("This request was carried out, but its answer can no longer be read")


def once(*, actor: Actor, key: str, request: str, body: Any, act: Callable[[], Any]) -> Any:
    """What `act` answers (JSON); or what it answered when the actor sent this request before, under this key.

    `request` names the method and path. Raises KeyReused, AnswerLost, and Invalid for a key that is not
    1 to 255 printable ASCII characters.
    """
    if not 0 < len(key) <= MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise Invalid({"Idempotency-Key": [_("1 to 255 printable ASCII characters")]})
    digest = _digest(actor.kind, actor.id, key)
    asked = _digest(request, body)

    @transactional_and_propagated
    def carried_out() -> Any:
        _expire(digest)
        row = IdempotentAnswer(digest=digest, request=asked, created_at=timezone.now())
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError:
            epoch.invalidate()  # the first may still be waiting out its lease
            return _repeated(IdempotentAnswer.objects.get(pk=digest), asked)
        answer = act()
        row.answer = sealing.seal(json.dumps(answer))
        row.save(update_fields=["answer"])
        return answer

    return carried_out()


class Batch(NamedTuple):
    """What a sender writes at once. Its numbers rise, and it repeats one until it knows that it is written."""

    sender: str
    number: int


def is_repeat(batch: Batch) -> bool:
    """Return whether the sender's batch was written already; else note it, in the transaction that writes it.

    So a batch is written once, though the answer to its commit was lost. It is remembered for KEPT_FOR.
    """
    digest, number = _digest("batch", batch.sender), str(batch.number)
    if IdempotentAnswer.objects.filter(pk=digest, request=number).exists():
        return True
    row = IdempotentAnswer(digest=digest, request=number, created_at=timezone.now())
    upsert(row, unique_fields=["digest"], update_fields=["request", "created_at"])
    return False


def sweep() -> int:
    """Deletes answers and notes that are kept no longer; how many there were."""
    return _expired().delete()[0]


def _repeated(row: IdempotentAnswer, asked: str) -> Any:
    if row.request != asked:
        raise KeyReused
    try:
        return json.loads(sealing.unseal(row.answer))
    except sealing.Unsealable as error:
        raise AnswerLost from error


def _expire(digest: str) -> None:
    _expired().filter(pk=digest).delete()


def _expired() -> QuerySet[IdempotentAnswer]:
    return IdempotentAnswer.objects.filter(created_at__lt=timezone.now() - KEPT_FOR)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
