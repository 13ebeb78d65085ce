"""Creating, changing and deleting users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from accounts.fields import USER_FIELDS, UserChanges
from accounts.models import QueuedMail, User
from accounts.operator_roles import OperatorRole
from accounts.services.confirmation import WrongPassword, confirm_password
from accounts.services.notices import notify
from accounts.services.personal_tokens import end_tokens
from accounts.services.sessions import end_sessions, lock_unchanged
from accounts.validators import email_errors, password_errors, username_errors
from core import audit, epoch
from core.actor import Actor
from core.db import transactional, transactional_and_propagated, translate_unique_violation
from core.errors import Conflict, Invalid, NotFound

_DUPLICATE_USERNAME = Invalid({"username": [_("This username is already taken")]})
DUPLICATE_EMAIL = Invalid({"email": [_("This e-mail address is already registered")]})
DUPLICATES = {
    "user_username_unique": _DUPLICATE_USERNAME,
    "username_folded": _DUPLICATE_USERNAME,
    "user_email_unique": DUPLICATE_EMAIL,
    "email_folded": DUPLICATE_EMAIL,
}


def create_user(
    *,
    actor: Actor,
    username: str,
    password: str | None,
    email: str | None = None,
    is_active: bool = True,
    operator_role: OperatorRole | None = None,
) -> User:
    """Create a user. Without a password nobody can sign in as them yet.

    Raise Invalid for a bad or taken username or e-mail address, or a weak password, and Unavailable.
    """
    user = new_user(username=username, password=password, email=email, is_active=is_active)
    add_user(actor=actor, user=user, operator_role=operator_role)
    return user


def new_user(*, username: str, password: str | None, email: str | None = None, is_active: bool = True) -> User:
    """Return an unsaved user with a valid name and a hashed password, for `add_user`.

    The two are separate because a hash takes long: inside a transaction it would block other writers, which on
    SQLite means everybody. Raise Invalid and Unavailable.
    """
    errors: dict[str, Any] = {**username_errors(username), **email_errors(email)}
    if password is not None:
        errors.update(password_errors(password, username, field="password"))
    if errors:
        raise Invalid(errors)
    user = User(is_active=is_active)
    user.set_username(username)
    user.set_email(email)
    user.set_password(password)
    return user


@transactional
def add_user(*, actor: Actor, user: User, operator_role: OperatorRole | None = None) -> None:
    """Store a user made by `new_user`. Raise Invalid for a taken username or e-mail address."""
    with translate_unique_violation(DUPLICATES):
        user.save(force_insert=True)
    if operator_role is not None:
        store_role(user, operator_role)
    audit.record(
        actor=actor, action="user.create", object_id=user.id, tenant_id=None, after=USER_FIELDS.audit_state(user)
    )


@transactional_and_propagated
def update_user(*, actor: Actor, user_id: str, changes: UserChanges) -> User:
    """Change any of `email`, `key_notices` and `is_active`.

    Deactivation ends all sessions and tokens.

    With MAIM_OWNER_OFF=keys_off, keys of the tenants that the user owns follow.

    Raise NotFound, Invalid for a bad or taken e-mail address, and Conflict if the last admin would be deactivated.
    """
    user = lock_user(user_id)
    former, before = user.email, USER_FIELDS.audit_state(user)
    if "email" in changes and changes["email"] != user.email:
        if errors := email_errors(changes["email"]):
            raise Invalid(errors)
        user.set_email(changes["email"])
        user.pending_email = None
    USER_FIELDS.assign(user, changes, skip=("email",))
    after = USER_FIELDS.audit_state(user)
    # Even if nothing changes: another request may have made the same change a moment ago and still be waiting.
    if settings.KEYS_OFF_WITH_OWNER and "is_active" in changes:
        epoch.invalidate(user.id)
    if after == before:
        return user
    if before["is_active"] and not user.is_active:
        check_not_last_admin(user)
        user.deactivations += 1
    with translate_unique_violation(DUPLICATES):
        user.save(update_fields=[*USER_FIELDS.changeable, "email_folded", "pending_email", "deactivations"])
    if former != user.email:
        notify(QueuedMail.Kind.EMAIL_CHANGED, actor=actor, user=user, to=former)
    if not user.is_active:
        end_sessions(user)
        end_tokens(actor, user.personal_tokens.all())
    audit.record(actor=actor, action="user.update", object_id=user.id, tenant_id=None, before=before, after=after)
    return user


def close_account(*, actor: Actor, user: User, password: str | None) -> None:
    """Delete the person who acts, after checking their password.

    Raise as `delete_user`, Invalid without a password, WrongPassword, TooMany, and Unavailable.
    """
    confirm_password(actor=actor, user=user, password=password)
    _close_account(actor=actor, user=user)


@transactional
def _close_account(*, actor: Actor, user: User) -> None:
    if lock_unchanged(user) is None:
        raise WrongPassword
    delete_user(actor=actor, user_id=user.pk)


@transactional
def delete_user(*, actor: Actor, user_id: str) -> None:
    """Delete a user with their sessions, links and memberships, and tell them.

    Raise NotFound, Conflict for the last admin, and django.db.models.ProtectedError if they own a tenant.
    """
    user = lock_user(user_id)
    if user.is_active:
        check_not_last_admin(user)
    audit.record(
        actor=actor, action="user.delete", object_id=user_id, tenant_id=None, before=USER_FIELDS.audit_state(user)
    )
    leave_tenants: Callable[[Actor, User], None] = import_string(settings.USER_DEPARTURE)
    leave_tenants(actor, user)
    end_tokens(actor, user.personal_tokens.all())
    user.delete()
    notify(QueuedMail.Kind.ACCOUNT_CLOSED, actor=actor, user=user, to=user.email)


def check_not_last_admin(locked: User) -> None:
    """Raise Conflict if nobody else may change anything in the admin. The others are locked, so that one remains."""
    if locked.operator_role == OperatorRole.ADMIN and not lock_admins().exclude(pk=locked.pk).values_list("pk"):
        raise Conflict(_("This is the last active admin; make somebody else one first"))


def lock_admins() -> QuerySet[User]:
    """Return the active admins, who are locked when they are read."""
    return User.objects.select_for_update().filter(is_staff=True, is_superuser=True, is_active=True).order_by("pk")


def store_role(user: User, role: OperatorRole | None) -> None:
    """Store the role of an operator, whose row is locked, and end their sessions in the admin."""
    user.is_staff, user.is_superuser = role is not None, role == OperatorRole.ADMIN
    user.admin_sign_outs += 1
    user.save(update_fields=["is_staff", "is_superuser", "admin_sign_outs"])
    if role == OperatorRole.SUPPORT:
        # The group has no permissions of its own: accounts.operator_roles says what it may.
        user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    else:
        user.groups.remove(*Group.objects.filter(name=OperatorRole.SUPPORT.value))


def lock_user(user_id: str) -> User:
    """Lock and return a user. Raise NotFound."""
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise NotFound(_("There is no user with this id"))
    return user
