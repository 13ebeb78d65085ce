"""The roles of operators, and what operators with few permissions do to stop somebody."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from accounts.fields import USER_FIELDS
from accounts.models import QueuedMail, User
from accounts.operator_roles import OperatorRole
from accounts.services.notices import notify
from accounts.services.sessions import end_sessions
from accounts.services.users import check_not_last_admin, lock_admins, lock_user, store_role, update_user
from core import audit
from core.actor import Actor, ActorKind
from core.db import transactional, transactional_and_propagated
from core.display import isolated
from core.errors import Conflict, Forbidden


@transactional
def set_operator_role(*, actor: Actor, user_id: str, role: OperatorRole | None) -> User:
    """Give a user a role in the admin, or take it away with None, and tell them. Return the user.

    All their sessions in the admin end. Raise NotFound, Forbidden for an operator who is no admin (any more), and
    Conflict if the last admin would lose the role.
    """
    admins = set(lock_admins().values_list("pk", flat=True))
    if actor.kind == ActorKind.OPERATOR and actor.id not in admins:
        raise Forbidden(_("Only admins may change the roles of operators"))
    user = lock_user(user_id)
    if role != OperatorRole.ADMIN and user.is_active:
        check_not_last_admin(user)
    return _change_role(actor, user, role)


@transactional
def follow_claims(*, actor: Actor, user_id: str, claims: Mapping[str, bool]) -> User:
    """Give a user the role that the claims of a provider have, even if they are the last admin. Return the user.

    Raise NotFound.
    """
    user = lock_user(user_id)
    return _change_role(actor, user, role_by_claims(user.operator_role, claims))


def role_by_claims(current: OperatorRole | None, claims: Mapping[str, bool]) -> OperatorRole | None:
    """Return the role that somebody has by claims; a role that the provider does not decide stays with operators.

    `claims` has `is_staff`, whether they are an operator at all, and `is_superuser` and `is_support` if the provider
    decides these.
    """
    if not claims["is_staff"]:
        return None
    for role, flag in ((OperatorRole.ADMIN, "is_superuser"), (OperatorRole.SUPPORT, "is_support")):
        if claims.get(flag, current == role):
            return role
    return OperatorRole.VIEWER


@transactional_and_propagated
def deactivate_user(*, actor: Actor, user_id: str) -> None:
    """Deactivate somebody who is no operator, which ends all their sessions and tokens.

    Raise NotFound, and Conflict for an operator, from whom an admin has to take the role first.
    """
    user = lock_user(user_id)
    if user.operator_role is not None:
        sentence = _("%(user)s is an operator: an admin has to take the role away first")
        raise Conflict(sentence % {"user": isolated(user)})
    update_user(actor=actor, user_id=user_id, changes={"is_active": False})


@transactional
def end_all_sessions(*, actor: Actor, user_id: str) -> User:
    """End all sessions of a user, those of the API and those in the admin. Return the user. Raise NotFound."""
    user = lock_user(user_id)
    user.admin_sign_outs += 1
    user.save(update_fields=["admin_sign_outs"])
    end_sessions(user)
    audit.record(actor=actor, action="user.end_sessions", object_id=user.id, tenant_id=None)
    return user


def _change_role(actor: Actor, user: User, role: OperatorRole | None) -> User:
    before = USER_FIELDS.audit_state(user)
    if role == user.operator_role:
        return user
    store_role(user, role)
    after = USER_FIELDS.audit_state(user)
    audit.record(actor=actor, action="user.update", object_id=user.id, tenant_id=None, before=before, after=after)
    about = "" if role is None else role.value
    notify(QueuedMail.Kind.OPERATOR_ROLE, actor=actor, user=user, to=user.email, about=about)
    return user
