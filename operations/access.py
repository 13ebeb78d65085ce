"""Access to bulk operations: who may read them, and who may start or cancel which kinds."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.actor import Actor, ActorKind
from core.errors import Forbidden, NotFound
from operations.models import BulkOperation, Kind

# The permission to change one object, which operators also need to change many. No operator may start a kind without
# an entry here.
PERMISSIONS: dict[Kind, str] = {
    Kind.DISABLE_KEYS: "apikeys.disable_apikey",
    Kind.ENABLE_KEYS: "apikeys.enable_apikey",
    Kind.DELETE_KEYS: "apikeys.delete_apikey",
    Kind.DELETE_AGENTS: "agents.delete_agent",
    Kind.DELETE_TENANTS: "tenants.delete_tenant",
    Kind.SUSPEND_TENANTS: "tenants.suspend_tenant",
    Kind.ACTIVATE_TENANTS: "tenants.resume_tenant",
}


class OperationNotFound(NotFound):
    message = _("There is no bulk operation with this id")


def operations_for(actor: Actor) -> QuerySet[BulkOperation]:
    """Return all bulk operations, newest first, without their selections, which may be of thousands of ids.

    Raise Forbidden for actors who are not trusted with every tenant.
    """
    if not actor.is_trusted:
        raise Forbidden
    return BulkOperation.objects.order_by("-created_at", "-id").defer("selection")


def get_operation(actor: Actor, operation_id: str) -> BulkOperation:
    """Return a bulk operation. Raise OperationNotFound, and Forbidden."""
    row = operations_for(actor).filter(pk=operation_id).first()
    if row is None:
        raise OperationNotFound
    return row


def kinds_for(actor: Actor) -> set[Kind]:
    """Return the kinds of operations that an actor may start or cancel: all for commands and the internal surface."""
    if not actor.is_trusted:
        return set()
    if actor.kind != ActorKind.OPERATOR:
        return set(Kind)
    user = User.objects.filter(pk=actor.id, is_active=True).first()
    if user is None or not user.has_perm("operations.add_bulkoperation"):
        return set()
    return {kind for kind, permission in PERMISSIONS.items() if user.has_perm(permission)}
