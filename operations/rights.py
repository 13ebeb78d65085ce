"""The rights to start bulk operations: an operator needs the one to make the change of each kind one by one."""

from __future__ import annotations

from accounts.models import User
from core.actor import Actor, ActorKind
from operations.models import BulkOperation

Kind = BulkOperation.Kind

# A kind that is not in it, no operator may start.
RIGHTS: dict[Kind, str] = {
    Kind.DISABLE_KEYS: "apikeys.disable_apikey",
    Kind.ENABLE_KEYS: "apikeys.enable_apikey",
    Kind.DELETE_KEYS: "apikeys.delete_apikey",
    Kind.DELETE_AGENTS: "agents.delete_agent",
    Kind.SUSPEND_TENANTS: "tenants.suspend_tenant",
    Kind.ACTIVATE_TENANTS: "tenants.resume_tenant",
}


def kinds_for(actor: Actor) -> set[Kind]:
    """Return the kinds of operations that an actor may start or cancel: all for commands and the internal surface."""
    if not actor.is_trusted:
        return set()
    if actor.kind != ActorKind.OPERATOR:
        return set(Kind)
    user = User.objects.filter(pk=actor.id, is_active=True).first()
    if user is None or not user.has_perm("operations.add_bulkoperation"):
        return set()
    return {kind for kind, right in RIGHTS.items() if user.has_perm(right)}
