"""Requests that may be sent twice and must act once (the Idempotency-Key header).

The response is stored sealed for KEPT_FOR, in the transaction of the change. So neither exists without
the other. A repeat that arrives while the first request is still running waits for it, on the database's
unique index.
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
from core.models import IdempotentResponse

KEPT_FOR = timedelta(minutes=10)
MAX_KEY_LENGTH = 255


class KeyReused(Conflict):
    message = _("This Idempotency-Key was used for another request; choose a new one")


class ResponseLost(Conflict):
    message = _("This request was carried out, but its answer can no longer be read")


def run_once(*, actor: Actor, key: str, request: str, body: Any, operation: Callable[[], Any]) -> Any:
    """Run the operation and return its response (JSON), or the stored one if the actor sent this request before.

    `key` is the Idempotency-Key, and `request` the method and path. Raise KeyReused, ResponseLost, and Invalid for
    a key that is not 1 to 255 printable ASCII characters.
    """
    if not 0 < len(key) <= MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise Invalid({"Idempotency-Key": [_("1 to 255 printable ASCII characters")]})
    # A token gets no response that was for its owner, nor one that was for another token, which may reach more.
    sender = [actor.kind, actor.id] if actor.token is None else [actor.kind, actor.id, actor.token.id]
    digest = _digest(*sender, key)
    request_digest = _digest(request, body)

    @transactional_and_propagated
    def run_or_repeat() -> Any:
        _expire(digest)
        row = IdempotentResponse(digest=digest, request=request_digest, created_at=timezone.now())
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError:
            epoch.invalidate()  # the first request may still be waiting for workers
            return _stored_response(IdempotentResponse.objects.get(pk=digest), request_digest)
        response = operation()
        row.response = sealing.seal(json.dumps(response))
        row.save(update_fields=["response"])
        return response

    return run_or_repeat()


class Batch(NamedTuple):
    """A numbered batch of a sender, who repeats it until it is known to be written. Numbers rise."""

    sender: str
    number: int


def is_repeat(batch: Batch) -> bool:
    """Return whether the sender's batch was written already; if not, mark it in the transaction that writes it.

    So a batch is written once, even if the reply to its commit was lost. The mark is kept for KEPT_FOR.
    """
    digest, number = _digest("batch", batch.sender), str(batch.number)
    if IdempotentResponse.objects.filter(pk=digest, request=number).exists():
        return True
    row = IdempotentResponse(digest=digest, request=number, created_at=timezone.now())
    upsert(row, unique_fields=["digest"], update_fields=["request", "created_at"])
    return False


def sweep() -> int:
    """Delete expired responses and marks, and return their number."""
    return _expired().delete()[0]


def _stored_response(row: IdempotentResponse, request_digest: str) -> Any:
    if row.request != request_digest:
        raise KeyReused
    try:
        return json.loads(sealing.unseal(row.response))
    except sealing.Unsealable as error:
        raise ResponseLost from error


def _expire(digest: str) -> None:
    _expired().filter(pk=digest).delete()


def _expired() -> QuerySet[IdempotentResponse]:
    return IdempotentResponse.objects.filter(created_at__lt=timezone.now() - KEPT_FOR)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
