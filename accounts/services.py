"""The rules about people: who may exist, sign in, and stay signed in."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import throttle, tokens
from accounts.fields import USER_FIELDS, UserChanges
from accounts.models import TokenSession, User
from accounts.tokens import BadToken, TokenPair
from core import audit, primary
from core.actor import Actor
from core.db import reconnecting, transactional, unique_or
from core.errors import Forbidden, Invalid, NotFound, Unauthenticated
from core.naming import folded_length_error
from core.text import fold, fold_name, name_error

MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 1024  # hashing is linear in it
REFRESH_RACE = timedelta(seconds=10)
_DUPLICATE_USERNAME = Invalid({"username": [_("This username is already taken")]})
_DUPLICATE_EMAIL = Invalid({"email": [_("This e-mail address is already registered")]})
_DUPLICATES = {
    "user_username_unique": _DUPLICATE_USERNAME,
    "username_folded": _DUPLICATE_USERNAME,
    "user_email_unique": _DUPLICATE_EMAIL,
    "email_folded": _DUPLICATE_EMAIL,
}


class BadCredentials(Invalid):
    """One sentence for a wrong name, a wrong password and an inactive user: none can be told apart."""

    def __init__(self) -> None:
        sentence = _("Incorrect username or password")
        super().__init__({"body": [sentence]}, detail=sentence)


def check_registration(*, username: str, address: str) -> None:
    """Count an attempt to register.

    Raise TooManyRequests after too many of them, Forbidden where only operators create users (MAIM_REGISTRATION).
    """
    throttle.attempt(account=username, address=address)
    if not settings.REGISTRATION_OPEN:
        raise Forbidden(_("Registration is closed; ask an operator for an account"))


def create_user(
    *,
    actor: Actor,
    username: str,
    password: str | None,
    email: str | None = None,
    is_active: bool = True,
    superuser: bool = False,
    is_staff: bool = False,
) -> User:
    """A new user; without a password nobody can sign in as them yet.

    Raises Invalid for a bad or taken username or e-mail, or a weak password, and Unavailable.
    """
    user = new_user(
        username=username,
        password=password,
        email=email,
        is_active=is_active,
        superuser=superuser,
        is_staff=is_staff,
    )
    add_user(actor=actor, user=user)
    return user


def new_user(
    *,
    username: str,
    password: str | None,
    email: str | None = None,
    is_active: bool = True,
    superuser: bool = False,
    is_staff: bool = False,
) -> User:
    """A user with a checked name and a hashed password, for `add_user` to store.

    Apart from it because a hash takes long: inside a transaction it would hold up all who write, which
    on SQLite is everybody else. Raises Invalid and Unavailable.
    """
    errors: dict[str, Any] = {**_username_errors(username), **_email_errors(email)}
    if password is not None:
        errors.update(_password_errors(password, username, field="password"))
    if errors:
        raise Invalid(errors)
    user = User(is_active=is_active, is_staff=is_staff or superuser, is_superuser=superuser)
    user.set_username(username)
    user.set_email(email)
    user.set_password(password)
    return user


@transactional
def add_user(*, actor: Actor, user: User) -> None:
    """Stores what `new_user` made; raises Invalid for a taken username or e-mail."""
    with unique_or(_DUPLICATES):
        user.save(force_insert=True)
    audit.record(
        actor=actor, action="user.create", object_id=user.id, tenant_id=None, after=USER_FIELDS.audit_state(user)
    )


@transactional
def update_user(*, actor: Actor, user_id: str, changes: UserChanges) -> User:
    """Changes any of `email`, `is_active`, `is_staff`, `is_superuser`; deactivation ends all sessions.

    Raises Invalid for a bad or taken e-mail.
    """
    user = _lock_user(user_id)
    before = USER_FIELDS.audit_state(user)
    if "email" in changes and changes["email"] != user.email:
        if errors := _email_errors(changes["email"]):
            raise Invalid(errors)
        user.set_email(changes["email"])
    USER_FIELDS.assign(user, changes, skip=("email",))
    after = USER_FIELDS.audit_state(user)
    if after == before:
        return user
    if before["is_active"] and not user.is_active:
        user.deactivations += 1
    with unique_or(_DUPLICATES):
        user.save(update_fields=[*USER_FIELDS.changeable, "email_folded", "deactivations"])
    if not user.is_active:
        _end_sessions(user)
    audit.record(actor=actor, action="user.update", object_id=user.id, tenant_id=None, before=before, after=after)
    return user


@transactional
def delete_user(*, actor: Actor, user_id: str) -> None:
    """Removes a user who owns no tenant; raises django.db.models.ProtectedError for one who does."""
    user = _lock_user(user_id)
    before = USER_FIELDS.audit_state(user)
    user.delete()
    audit.record(actor=actor, action="user.delete", object_id=user_id, tenant_id=None, before=before)


def authenticate(*, username: str, password: str, address: str) -> User:
    """Return the active user with this name and password, as they were when the password was verified.

    What follows from it holds only while they are still so: hand them to `sign_in`, or to Django's `login`, whose
    session hash sees to the same. Raises BadCredentials, TooMany, or Unavailable when too many sign in at once.
    """
    throttle.attempt(account=username, address=address)
    user = User.objects.filter(username_folded=fold(username)).first()
    if user is None:
        make_password(password)  # as long as a wrong password takes, so that names cannot be probed
        raise BadCredentials
    if not user.check_password(password) or not user.is_active:
        raise BadCredentials
    return user


@transactional
def sign_in(*, actor: Actor, user: User) -> TokenPair:
    """Open a session for a user whose password was verified, and return its tokens.

    Raises BadCredentials if the password was changed or the user deactivated since `user` was read.
    """
    if _lock_unchanged(user) is None:
        raise BadCredentials
    refresh = tokens.new_refresh_token()
    session = TokenSession(
        user=user, refresh_id=refresh["jti"], expires_at=timezone.now() + settings.REFRESH_TOKEN_LIFETIME
    )
    session.save(force_insert=True)
    audit.record(actor=actor, action="session.create", object_id=session.id, tenant_id=None, after={"user": user.id})
    return tokens.issue(refresh, session)


class SignedIn(NamedTuple):
    """Whom an access token stands for, and by which session."""

    user: User
    session_id: str


def signed_in(access_token: str) -> SignedIn:
    """The active user and the live session that a token stands for; one query.

    Raises Unauthenticated.
    """
    try:
        claims = tokens.read_access_token(access_token)
    except BadToken as error:
        raise Unauthenticated from error
    user = _user_of_session(claims.session_id)
    if user is None or not user.is_active:
        raise Unauthenticated
    return SignedIn(user, claims.session_id)


# What requests of a signed-in person use of them, in the model's order; the rest is read when somebody asks for it.
_USER_FIELDS = ("password", "id", "username", "email", "is_active", "deactivations")


@reconnecting
def _user_of_session(session_id: str) -> User | None:
    rows = primary.fetch_all(_user_of_session_sql(), [session_id])
    if not rows:
        return None
    *texts, is_active, deactivations = rows[0]
    # `is_active` is a number in MariaDB.
    return User.from_db(DEFAULT_DB_ALIAS, _USER_FIELDS, [*texts, bool(is_active), deactivations])


@cache
def _user_of_session_sql() -> str:
    """The ORM writes it, once: every request of a signed-in person begins with it."""
    return User.objects.filter(token_sessions="").values_list(*_USER_FIELDS).query.sql_with_params()[0]


def refresh(*, refresh_token: str) -> TokenPair:
    """Trades a refresh token for new tokens; the old one is spent.

    A spent token that comes back was copied, and its session ends (RFC 9700 section 4.14.2), unless it
    comes back at once: then two windows of one browser refreshed together. Raises Unauthenticated.
    """
    session_id, token_id = _refresh_claims(refresh_token)
    pair = _rotate(session_id, token_id)
    if pair is None:
        at_once = timezone.now() - REFRESH_RACE
        TokenSession.objects.filter(pk=session_id, refreshed_at__lt=at_once).delete()
        raise Unauthenticated(_("The refresh token is not good, sign in again"))
    return pair


@transactional
def _rotate(session_id: str, token_id: str) -> TokenPair | None:
    session = TokenSession.objects.select_related("user").filter(pk=session_id).first()
    if session is None or not session.user.is_active:
        return None
    fresh = tokens.new_refresh_token()
    # Compare and swap: of two who present the same token at once, one wins.
    swapped = TokenSession.objects.filter(pk=session_id, refresh_id=token_id).update(
        refresh_id=fresh["jti"],
        refreshed_at=timezone.now(),
        expires_at=timezone.now() + settings.REFRESH_TOKEN_LIFETIME,
    )
    return tokens.issue(fresh, session) if swapped else None


@transactional
def sign_out(*, actor: Actor, refresh_token: str) -> None:
    """Ends the session of a refresh token, and with it the access token.

    Raises Unauthenticated.
    """
    session_id, _token_id = _refresh_claims(refresh_token)
    session = TokenSession.objects.select_for_update().filter(pk=session_id).first()
    if session is None:
        raise Unauthenticated
    session.delete()
    audit.record(
        actor=actor, action="session.delete", object_id=session_id, tenant_id=None, before={"user": session.user_id}
    )


def change_password(
    *, actor: Actor, user: User, old_password: str, new_password: str, keep_session: str | None
) -> None:
    """Set a new password and end every session but `keep_session`.

    Of several changes at once that name the same old password, one is made. Raises Invalid for a wrong old or a
    weak new password, TooMany, Unavailable.
    """
    throttle.attempt(account=user.username, address=actor.address)
    if not user.check_password(old_password):
        raise _wrong_old_password()
    hashed = _hash_password(new_password, user, field="new_password")
    _replace_password(actor=actor, user=user, hashed=hashed, keep_session=keep_session)


def set_password(*, actor: Actor, user: User, password: str) -> None:
    """Set a password, whatever it was before, and end every session.

    Raises Invalid for a weak one, NotFound for a user who is gone, and Unavailable.
    """
    _force_password(actor=actor, user=user, hashed=_hash_password(password, user, field="password"))


def _wrong_old_password() -> Invalid:
    return Invalid({"old_password": [_("The old password is not correct")]})


def _hash_password(password: str, user: User, *, field: str) -> str:
    """Hash a new password, which belongs outside of transactions. Raise Invalid for a weak one, and Unavailable."""
    if errors := _password_errors(password, user.username, field=field):
        raise Invalid(errors)
    return make_password(password)


@transactional
def _replace_password(*, actor: Actor, user: User, hashed: str, keep_session: str | None) -> None:
    stored = _lock_unchanged(user)
    if stored is None:
        raise _wrong_old_password()
    _store_password(actor, stored, hashed, keep_session=keep_session)
    user.password = hashed


@transactional
def _force_password(*, actor: Actor, user: User, hashed: str) -> None:
    _store_password(actor, _lock_user(user.pk), hashed)
    user.password = hashed


def _store_password(actor: Actor, locked: User, hashed: str, *, keep_session: str | None = None) -> None:
    locked.password = hashed
    locked.save(update_fields=["password"])
    _end_sessions(locked, keep=keep_session)
    audit.record(actor=actor, action="user.password", object_id=locked.id, tenant_id=None)


def sweep_sessions() -> int:
    """Deletes sessions whose refresh token has expired; how many there were."""
    return TokenSession.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def _lock_user(user_id: str) -> User:
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise NotFound(_("There is no user with this id"))
    return user


def _lock_unchanged(user: User) -> User | None:
    """Lock and return the row of a user if all that `user` was verified by is still so, else None."""
    stored = User.objects.select_for_update().filter(pk=user.pk).first()
    if stored is None or not stored.is_active:
        return None
    is_unchanged = (stored.password, stored.deactivations) == (user.password, user.deactivations)
    return stored if is_unchanged else None


def _refresh_claims(refresh_token: str) -> tuple[str, str]:
    try:
        claims = tokens.read_refresh_token(refresh_token)
    except BadToken as error:
        raise Unauthenticated(_("The refresh token is not good, sign in again")) from error
    return claims.session_id, claims.token_id


def _end_sessions(user: User, keep: str | None = None) -> None:
    TokenSession.objects.filter(user=user).exclude(pk=keep or "").delete()


def _username_errors(username: str) -> dict[str, list[Any]]:
    if not username.strip():
        return {"username": [_("The username must not be empty")]}
    if error := name_error(username):
        return {"username": [error]}
    if username != username.strip() or not username.isprintable():
        return {"username": [_("The username may hold printable characters only")]}
    if len(username) > 100 or len(fold(username)) > 300:
        return {"username": [_("The username may have at most 100 characters")]}
    # The name of a person's own tenant is made of theirs.
    if error := folded_length_error(fold_name(username), 300):
        return {"username": [error]}
    return {}


def _email_errors(email: str | None) -> dict[str, list[Any]]:
    if not email:
        return {}
    if invisible := name_error(email):
        return {"email": [invisible]}
    try:
        validate_email(email)
    except ValidationError as error:
        return {"email": list(error.messages)}
    return {"email": [_("The e-mail address is too long")]} if len(email) > 254 else {}


def _password_errors(password: str, username: str, *, field: str) -> dict[str, list[Any]]:
    if len(password) < MIN_PASSWORD_LENGTH:
        return {field: [_("The password must have at least 8 characters")]}
    if len(password) > MAX_PASSWORD_LENGTH:
        return {field: [_("The password may have at most 1024 characters")]}
    if fold(password) == fold(username):
        return {field: [_("The password must not be the username")]}
    return {}
