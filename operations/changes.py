"""The changes that bulk operations make to a chunk of objects, through the services of the apps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from agents import services as agents
from agents.models import Agent
from apikeys import services as apikeys
from apikeys.models import ApiKey, KeyStatus
from core.actor import Actor
from core.errors import DomainError, NotFound
from operations.models import Kind, Outcome
from tenants import services as tenants
from tenants.models import Tenant, TenantStatus

Result = Outcome.Result

# A function that changes the objects with these ids, and returns an unsaved outcome for each id, in the same order.
Apply = Callable[[Actor, Sequence[str]], list[Outcome]]


class Change(NamedTuple):
    """A kind of change, and how many objects one transaction changes."""

    apply: Apply
    chunk: int


def _set_key_status(status: KeyStatus) -> Apply:
    def apply(actor: Actor, ids: Sequence[str]) -> list[Outcome]:
        keys = list(ApiKey.unscoped.filter(pk__in=ids))
        unchanged = {key.pk for key in keys if key.status == status}
        rows = apikeys.set_status_of_all(actor=actor, keys=keys, status=status)
        results = {pk: Result.UNCHANGED if pk in unchanged else Result.DONE for pk in rows}
        return [Outcome(object_id=pk, result=results.get(pk, Result.GONE)) for pk in ids]

    return apply


def _one_by_one(rows: Any, change: Callable[[Actor, Any], bool]) -> Apply:
    """Return a function that changes a manager's rows one by one. `change` returns False for a row that needs none.

    The services refuse an object before they write anything, so the others are not affected.
    """

    def apply(actor: Actor, ids: Sequence[str]) -> list[Outcome]:
        found = rows.in_bulk(ids)
        return [_change_one(actor, pk, found.get(pk), change) for pk in ids]

    return apply


def _change_one(actor: Actor, pk: str, row: Any, change: Callable[[Actor, Any], bool]) -> Outcome:
    if row is None:
        return Outcome(object_id=pk, result=Result.GONE)
    try:
        return Outcome(object_id=pk, result=Result.DONE if change(actor, row) else Result.UNCHANGED)
    except NotFound:
        return Outcome(object_id=pk, result=Result.GONE)
    except DomainError as error:
        return Outcome(object_id=pk, result=Result.REFUSED, detail=str(error.detail)[:300])


def _delete_key(actor: Actor, key: ApiKey) -> bool:
    apikeys.delete_key(actor=actor, key=key)
    return True


def _delete_agent(actor: Actor, agent: Agent) -> bool:
    agents.delete_agent(actor=actor, agent=agent)
    return True


def _delete_tenant(actor: Actor, tenant: Tenant) -> bool:
    tenants.delete_tenant(actor=actor, tenant=tenant)
    return True


def _set_tenant_status(status: TenantStatus) -> Callable[[Actor, Tenant], bool]:
    def change(actor: Actor, tenant: Tenant) -> bool:
        tenants.update_tenant(actor=actor, tenant=tenant, changes={"status": status})
        was_other: bool = tenant.status != status
        return was_other

    return change


# A chunk is small enough that others hardly wait for its locks, and large enough that its one wait for workers counts
# little. Deleting an agent copies and deletes all of its keys, and deleting a tenant all of its agents.
CHANGES: dict[Kind, Change] = {
    Kind.DISABLE_KEYS: Change(_set_key_status(KeyStatus.DISABLED), chunk=500),
    Kind.ENABLE_KEYS: Change(_set_key_status(KeyStatus.ACTIVE), chunk=500),
    Kind.DELETE_KEYS: Change(_one_by_one(ApiKey.unscoped, _delete_key), chunk=100),
    Kind.DELETE_AGENTS: Change(_one_by_one(Agent.unscoped, _delete_agent), chunk=5),
    Kind.DELETE_TENANTS: Change(_one_by_one(Tenant.objects, _delete_tenant), chunk=1),
    Kind.SUSPEND_TENANTS: Change(_one_by_one(Tenant.objects, _set_tenant_status(TenantStatus.SUSPENDED)), chunk=50),
    Kind.ACTIVATE_TENANTS: Change(_one_by_one(Tenant.objects, _set_tenant_status(TenantStatus.ACTIVE)), chunk=50),
}
