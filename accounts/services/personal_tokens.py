"""Personal access tokens: created by their owner, used by their owner's programs, and how they end.

A token ends with its time, its revocation, its owner's deactivation or deletion, a password that was set by a link or
an operator, and with the membership in the tenant that it is for. A password that its owner changes does not end it:
whoever knows the password and means to end tokens can revoke them, and programs go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import token_format
from accounts.access import personal_tokens_of
from accounts.models import PersonalToken, QueuedMail, User
from accounts.random_tokens import digest_of
from accounts.services.confirmation import confirm_password, lock_confirmed
from accounts.services.notices import notify
from accounts.services.sessions import USER_FIELDS, stored_user
from core import audit, primary
from core.actor import Actor, TokenGrant, TokenScope
from core.audit import AuditChange
from core.db import retry_if_disconnected, transactional
from core.errors import Conflict, Invalid, NotFound, Unauthenticated
from core.prepared import prepared_sql
from core.text import name_error

MAX_TOKENS = 50
DEFAULT_LIFETIME = timedelta(days=90)
# How often the use of a token is recorded. Each record is a write.
USED_EVERY = timedelta(minutes=1)
# How long an expired token stays in its owner's list, which tells why a program fails.
KEPT_AFTER_EXPIRY = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A new token and its text, shown this once. Never log it."""

    row: PersonalToken
    token: str

    def __repr__(self) -> str:
        return "CreatedToken(…)"


class AuthenticatedToken(NamedTuple):
    """The user of a valid token, and what it allows."""

    user: User
    grant: TokenGrant


def create_token(
    *,
    actor: Actor,
    user: User,
    name: str,
    scope: TokenScope,
    tenant_id: str | None = None,
    expires_at: datetime | None = None,
    password: str | None = None,
    check: Callable[[], object] | None = None,
) -> CreatedToken:
    """Create a token of the person who acts, for one of their tenants or for all. Tell them by mail.

    Without `expires_at` it is good for DEFAULT_LIFETIME, or as long as is allowed. `check` is called first in the
    transaction that stores it, and raises if they may not enter the tenant. Raise Invalid for a bad name or time,
    Conflict for more than MAX_TOKENS, and what `confirm_password` does.
    """
    now = timezone.now()
    _check_name(name)
    expires_at = _checked_expiry(expires_at or now + min(DEFAULT_LIFETIME, settings.TOKEN_MAX_LIFETIME), now)
    confirm_password(actor=actor, user=user, password=password)
    token = token_format.generate()
    row = PersonalToken(
        user=user,
        name=name,
        scope=scope,
        tenant_id=tenant_id,
        digest=digest_of(token),
        hint=token_format.hint_of(token),
        created_at=now,
        expires_at=expires_at,
    )
    _add(actor=actor, user=user, row=row, check=check)
    return CreatedToken(row, token)


@transactional
def _add(*, actor: Actor, user: User, row: PersonalToken, check: Callable[[], object] | None) -> None:
    if check is not None:
        check()
    locked = lock_confirmed(user)
    if locked.personal_tokens.count() >= MAX_TOKENS:
        raise Conflict(_("You have as many personal access tokens as are possible; revoke one first"))
    row.save(force_insert=True)
    notify(QueuedMail.Kind.TOKEN_CREATED, actor=actor, user=locked, to=locked.email)
    audit.record(actor=actor, action="token.create", object_id=row.id, tenant_id=None, after=_audit_state(row))


@transactional
def rename_token(*, actor: Actor, token_id: str, name: str) -> PersonalToken:
    """Give a token of the person who acts another name, and return it. Raise Invalid for a bad name, and NotFound."""
    _check_name(name)
    row = personal_tokens_of(actor).select_for_update().filter(pk=token_id).first()
    if row is None:
        raise _no_token()
    before = _audit_state(row)
    row.name = name
    if audit.differ(before, after := _audit_state(row)):
        row.save(update_fields=["name"])
        audit.record(actor=actor, action="token.update", object_id=row.id, tenant_id=None, before=before, after=after)
    return row


def get_token(actor: Actor, token_id: str) -> PersonalToken:
    """Return a token of the person who acts. Raise NotFound."""
    row = personal_tokens_of(actor).filter(pk=token_id).first()
    if row is None:
        raise _no_token()
    return row


def find_token(token: str) -> PersonalToken | None:
    """Return the row of a token, whosever it is, with its user."""
    return PersonalToken.objects.filter(digest=digest_of(token)).select_related("user").first()


@transactional
def revoke_token(*, actor: Actor, token_id: str) -> None:
    """Revoke a token of the person who acts, or as an operator anybody's. Raise NotFound."""
    rows = PersonalToken.objects.all() if actor.is_trusted else personal_tokens_of(actor)
    if not end_tokens(actor, rows.filter(pk=token_id)):
        raise _no_token()


def end_tokens(actor: Actor, rows: QuerySet[PersonalToken]) -> int:
    """Delete tokens inside the transaction of what ends them, and return their number."""
    ended = list(rows.select_for_update().order_by("pk"))
    if ended:
        PersonalToken.objects.filter(pk__in=[row.pk for row in ended]).delete()
        changes = [AuditChange(row.id, None, before=_audit_state(row)) for row in ended]
        audit.record_all(actor=actor, action="token.delete", changes=changes)
    return len(ended)


def end_tokens_in(actor: Actor, *, tenant_id: str, user_id: str | None = None) -> None:
    """End the tokens that are for this tenant alone: everybody's, or those of a user who leaves it."""
    rows = PersonalToken.objects.filter(tenant_id=tenant_id)
    end_tokens(actor, rows if user_id is None else rows.filter(user=user_id))


def sweep_tokens() -> int:
    """Delete the tokens that expired KEPT_AFTER_EXPIRY ago, and return their number."""
    return PersonalToken.objects.filter(expires_at__lt=timezone.now() - KEPT_AFTER_EXPIRY).delete()[0]


def authenticate_personal_token(token: str, *, address: str) -> AuthenticatedToken:
    """Return the active user of a token, and what it allows, in one query. Raise Unauthenticated.

    A text without the format of a token costs none. Record the use, and the address it came from, now and then.
    """
    found = _find(digest_of(token)) if token_format.is_well_formed(token) else None
    now = timezone.now()
    if found is None or found.expires_at <= now or not found.user.is_active:
        raise Unauthenticated
    last = found.last_used_at
    if last is None or not -USED_EVERY < now - last < USED_EVERY:
        # If several requests see the same old time, one writes.
        unused = PersonalToken.objects.filter(pk=found.grant.id, last_used_at=last)
        unused.update(last_used_at=now, last_used_address=address)
    return AuthenticatedToken(found.user, found.grant)


class _Found(NamedTuple):
    user: User
    grant: TokenGrant
    expires_at: datetime
    last_used_at: datetime | None


@retry_if_disconnected
def _find(digest: str) -> _Found | None:
    rows = primary.fetch_all(_select_by_digest(), [digest])
    if not rows:
        return None
    *user, token_id, scope, tenant_id, expires_at, last_used_at = rows[0]
    return _Found(
        stored_user(user),
        TokenGrant(id=token_id, scope=TokenScope(scope), tenant_id=tenant_id),
        expires_at.replace(tzinfo=UTC),  # stored times are UTC and do not say so
        last_used_at and last_used_at.replace(tzinfo=UTC),
    )


@prepared_sql
def _select_by_digest() -> QuerySet[PersonalToken, Any]:
    of_user = [f"user__{name}" for name in USER_FIELDS]
    rows = PersonalToken.objects.filter(digest="")
    return rows.values_list(*of_user, "id", "scope", "tenant_id", "expires_at", "last_used_at")


def _checked_expiry(expires_at: datetime, now: datetime) -> datetime:
    if expires_at <= now:
        raise Invalid({"expires_at": [_("The time must be in the future")]})
    if expires_at > now + settings.TOKEN_MAX_LIFETIME:
        sentence = _("A personal access token may be good for at most %(days)s days")
        raise Invalid({"expires_at": [sentence % {"days": settings.TOKEN_MAX_LIFETIME.days}]})
    return expires_at


def _check_name(name: str) -> None:
    if error := name_error(name):
        raise Invalid({"name": [error]})


def _no_token() -> NotFound:
    return NotFound(_("You have no personal access token with this id"))


def _audit_state(row: PersonalToken) -> dict[str, Any]:
    return {
        "user": row.user_id,
        "name": row.name,
        "scope": row.scope,
        "tenant_id": row.tenant_id,
        "expires_at": row.expires_at.isoformat(),
    }
