"""Sign-ins to the admin in the audit log: those that succeeded, those that failed, and sign-outs.

Failures are bounded, because anybody may cause them: of an operator ten an hour are recorded, of all other names
together twenty. What was typed as a name is not, because it may be a password.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from accounts import challenges, throttle
from accounts.models import User
from core import audit
from core.actor import Actor, ActorKind
from core.db import transactional
from core.text import fold

_UNKNOWN = "unknown"  # in place of the id of a user


class FailedSignIn(StrEnum):
    """The reason why somebody was not let into the admin."""

    # Also for an unknown name or an inactive user.
    WRONG_PASSWORD = "wrong_password"  # noqa: S105  # a reason, not a password
    WRONG_FACTOR = "wrong_factor"
    NO_OPERATOR = "no_operator"
    TOO_MANY_ATTEMPTS = "too_many_attempts"


def record_sign_in(*, actor: Actor, user: User, method: str) -> None:
    """Record that an operator was let in, in the transaction of the sign-in. `method` is what completed it."""
    operator = replace(actor, kind=ActorKind.OPERATOR, id=user.pk, label=user.username)
    audit.record(actor=operator, action="operator.sign_in", object_id=user.pk, tenant_id=None, after={"method": method})


def record_failed_sign_in(*, actor: Actor, username: str, reason: FailedSignIn) -> None:
    """Record that somebody with this name, or text in place of one, was not let in."""
    _record_failure(actor, User.objects.filter(username_folded=fold(username)).first(), reason)


def record_failed_factor(*, actor: Actor, challenge: str, reason: FailedSignIn) -> None:
    """Record that somebody was not let in by a second factor."""
    row = challenges.find(challenge)
    _record_failure(actor, row.user if row else None, reason)


@transactional
def record_sign_out(*, actor: Actor) -> None:
    """Record that the operator who acts has signed out."""
    audit.record(actor=actor, action="operator.sign_out", object_id=actor.id or _UNKNOWN, tenant_id=None)


@transactional
def _record_failure(actor: Actor, user: User | None, reason: FailedSignIn) -> None:
    if throttle.count_failure(operator_id=user.pk if user and user.is_staff else None):
        audit.record(
            actor=actor,
            action="operator.sign_in_failed",
            object_id=user.pk if user else _UNKNOWN,
            tenant_id=None,
            after={"reason": reason.value},
        )
