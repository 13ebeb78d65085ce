"""The changes of bulk operations: what each kind does to a chunk of objects, through the services of the apps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from agents import services as agents
from agents.models import Agent
from apikeys import services as apikeys
from apikeys.models import ApiKey, KeyStatus
from core.actor import Actor
from core.errors import DomainError, NotFound
from operations.models import BulkOperation, Outcome
from tenants import services as tenants
from tenants.models import Tenant, TenantStatus

Kind = BulkOperation.Kind
Result = Outcome.Result


class Found(NamedTuple):
    """The outcome for one object."""

    object_id: str
    result: Result
    detail: str = ""


class Change(NamedTuple):
    """A kind of change, and how many objects one transaction changes."""

    apply: Callable[[Actor, Sequence[str]], list[Found]]
    chunk: int


def _set_status(status: KeyStatus) -> Callable[[Actor, Sequence[str]], list[Found]]:
    def apply(actor: Actor, ids: Sequence[str]) -> list[Found]:
        keys = ApiKey.unscoped.filter(pk__in=ids)
        before = {key.pk: key.status for key in keys}
        rows = apikeys.set_status_of_all(actor=actor, keys=list(keys), status=status)
        return [
            Found(
                each, Result.GONE if each not in rows else Result.UNCHANGED if before[each] == status else Result.DONE
            )
            for each in ids
        ]

    return apply


def _each(rows: Callable[[Collection[str]], Any], change: Callable[[Actor, Any], bool]) -> Callable[..., list[Found]]:
    """Return a function that changes objects one by one. `change` returns False for one that needs no change.

    The services refuse an object before they write anything, so the others are not affected.
    """

    def apply(actor: Actor, ids: Sequence[str]) -> list[Found]:
        there = {row.pk: row for row in rows(ids)}
        return [_outcome(actor, each, there.get(each), change) for each in ids]

    return apply


def _outcome(actor: Actor, object_id: str, row: Any, change: Callable[[Actor, Any], bool]) -> Found:
    if row is None:
        return Found(object_id, Result.GONE)
    try:
        return Found(object_id, Result.DONE if change(actor, row) else Result.UNCHANGED)
    except NotFound:
        return Found(object_id, Result.GONE)
    except DomainError as error:
        return Found(object_id, Result.REFUSED, str(error.detail)[:300])


def _delete_key(actor: Actor, key: ApiKey) -> bool:
    apikeys.delete_key(actor=actor, key=key)
    return True


def _delete_agent(actor: Actor, agent: Agent) -> bool:
    agents.delete_agent(actor=actor, agent=agent)
    return True


def _tenant_status(status: TenantStatus) -> Callable[[Actor, Tenant], bool]:
    def change(actor: Actor, tenant: Tenant) -> bool:
        tenants.update_tenant(actor=actor, tenant=tenant, changes={"status": status})
        was_other: bool = tenant.status != status
        return was_other

    return change


def _keys(ids: Collection[str]) -> Any:
    return ApiKey.unscoped.filter(pk__in=ids)


def _agents(ids: Collection[str]) -> Any:
    return Agent.unscoped.filter(pk__in=ids)


def _tenants(ids: Collection[str]) -> Any:
    return Tenant.objects.filter(pk__in=ids)


# A chunk is small enough that others hardly wait for its locks, and large enough that its one wait for workers counts
# little. Deleting an agent copies and deletes all of its keys.
CHANGES: dict[Kind, Change] = {
    Kind.DISABLE_KEYS: Change(_set_status(KeyStatus.DISABLED), chunk=500),
    Kind.ENABLE_KEYS: Change(_set_status(KeyStatus.ACTIVE), chunk=500),
    Kind.DELETE_KEYS: Change(_each(_keys, _delete_key), chunk=100),
    Kind.DELETE_AGENTS: Change(_each(_agents, _delete_agent), chunk=5),
    Kind.SUSPEND_TENANTS: Change(_each(_tenants, _tenant_status(TenantStatus.SUSPENDED)), chunk=50),
    Kind.ACTIVATE_TENANTS: Change(_each(_tenants, _tenant_status(TenantStatus.ACTIVE)), chunk=50),
}
