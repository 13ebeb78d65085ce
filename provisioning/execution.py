"""Execution of a plan by calling the services.

Removals come first, so that their names are free. Removed agents and keys count against limits until the commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from accounts.models import User
from agents import services as agents
from agents.fields import AgentSettings
from agents.models import Agent
from agents.services.config_writes import WriteOptions
from apikeys import services as apikeys
from apikeys.fields import KeySettings
from apikeys.models import ApiKey
from core.actor import Actor
from core.changes import dry_run
from core.db import transactional_and_propagated
from core.errors import DomainError, Invalid
from core.revisions import check_revision
from provisioning.changes import Sign
from provisioning.declaration import Declaration
from provisioning.plans import AgentPlan, KeyPlan, Plan, TenantPlan
from provisioning.secret_sinks import NewSecret, SecretSink
from provisioning.yaml_file import InvalidFile, Place
from tenants import members
from tenants import services as tenants
from tenants.access import lock_tenant
from tenants.fields import TenantSettings
from tenants.models import Role, Tenant

# Of one transaction. A larger plan is carried out in one for each tenant, because others wait for what it locks.
MAX_CHANGES = 1000


def transactions_of(plan: Plan) -> list[list[TenantPlan]]:
    """Return the tenants that are changed together: all, or each by itself if there are more than MAX_CHANGES."""
    changed = [each for each in plan.tenants if any(change.sign != Sign.SKIP for change in each.shown())]
    if len(plan.changes) > MAX_CHANGES:
        return [[each] for each in changed]
    return [changed] if changed else []


def carry_out(plan: Plan, part: Sequence[TenantPlan], *, actor: Actor, sink: SecretSink | None) -> None:
    """Carry out the changes of some tenants in one transaction, or none of them.

    Deliver the secrets of new keys before the commit. Raise InvalidFile for what a service refuses, and Conflict where
    secrets cannot be delivered.
    """
    _carry_out(plan.declaration, part, actor=actor, sink=sink)
    if sink is not None:
        sink.mark_committed()


def rehearse(plan: Plan, part: Sequence[TenantPlan], *, actor: Actor) -> None:
    """Try the changes of some tenants by every rule, and roll them back. Raise InvalidFile if a service refuses one."""
    dry_run(lambda: _carry_out(plan.declaration, part, actor=actor, sink=None))


@transactional_and_propagated
def _carry_out(declaration: Declaration, part: Sequence[TenantPlan], *, actor: Actor, sink: SecretSink | None) -> None:
    execution = _Execution(declaration, actor)
    for plan in part:
        execution.tenant(plan)
    if sink is not None and execution.secrets:
        sink.deliver(execution.secrets)


class _Execution:
    """One pass over the plans of a transaction."""

    def __init__(self, declaration: Declaration, actor: Actor) -> None:
        self.secrets: list[NewSecret] = []
        self._declaration = declaration
        self._actor = actor

    @contextmanager
    def _at(self, place: Place) -> Iterator[None]:
        """Raise InvalidFile with the place in the file for what a service refuses."""
        try:
            yield
        except Invalid as error:
            sentences = [sentence for found in error.errors.values() for sentence in found]
            raise InvalidFile(*(self._declaration.problem(place, each) for each in sentences)) from error
        except DomainError as error:
            raise InvalidFile(self._declaration.problem(place, error.detail)) from error

    def tenant(self, plan: TenantPlan) -> None:
        with self._at(plan.declared.place):
            tenant = self._changed_tenant(plan)
            for _change, row in plan.removed:
                self._remove(tenant, row)
            plan.check_limits(lock_tenant(tenant.pk))
        for member in plan.members:
            if member.change is not None:
                role = Role(member.declared.role)
                with self._at(member.declared.place):
                    members.set_member(actor=self._actor, tenant=tenant, user_id=member.user.pk, role=role)
        for agent in plan.agents:
            self._agent(tenant, agent)

    def _changed_tenant(self, plan: TenantPlan) -> Tenant:
        if plan.row is None:
            return self._new_tenant(plan)
        tenant = lock_tenant(plan.row.pk)
        check_revision(tenant, {plan.row.revision})  # it may be somebody else's by now, and have another name
        # A name is free or taken among the tenants of an owner. So the former owner must not get in the way of the new
        # name, nor the new owner in that of the former one.
        hands_over_first = plan.owner is not None and not _owns_name(plan.owner, tenant.name_folded)
        if hands_over_first:
            self._hand_over(tenant, plan)
        if plan.changes:
            changes: Any = plan.changes
            tenant = tenants.update_tenant(actor=self._actor, tenant=tenant, changes=changes)
        if not hands_over_first:
            self._hand_over(tenant, plan)
        return tenant

    def _hand_over(self, tenant: Tenant, plan: TenantPlan) -> None:
        if plan.owner is not None and plan.owner.pk != tenant.owner_id:
            members.set_member(actor=self._actor, tenant=tenant, user_id=plan.owner.pk, role=Role.OWNER)

    def _new_tenant(self, plan: TenantPlan) -> Tenant:
        settings, later = _split(plan.changes, TenantSettings.__annotations__, ("tenant_name", "tenant_type"))
        tenant = tenants.create_tenant(
            actor=self._actor,
            tenant_name=plan.changes["tenant_name"],
            tenant_type=plan.changes["tenant_type"],
            owner_id=None if plan.owner is None else plan.owner.pk,
            **settings,
        )
        return tenants.update_tenant(actor=self._actor, tenant=tenant, changes=later) if later else tenant

    def _remove(self, tenant: Tenant, row: Any) -> None:
        if isinstance(row, Agent):
            agents.delete_agent(actor=self._actor, agent=row, expected={row.revision})
        elif isinstance(row, ApiKey):
            apikeys.delete_key(actor=self._actor, key=row, expected={row.revision})
        else:
            members.remove_member(actor=self._actor, tenant=tenant, user_id=row.user_id)

    def _agent(self, tenant: Tenant, plan: AgentPlan) -> None:
        with self._at(plan.declared.place):
            agent = self._changed_agent(tenant, plan)
        for key in plan.keys:
            with self._at(key.declared.place):
                self._key(tenant, agent, key)

    def _changed_agent(self, tenant: Tenant, plan: AgentPlan) -> Agent:
        if plan.row is None:
            settings, later = _split(plan.changes, AgentSettings.__annotations__, ("name",))
            agent = agents.create_agent(actor=self._actor, tenant=tenant, name=plan.declared.name, **settings)
            return agents.update_agent(actor=self._actor, agent=agent, changes=later) if later else agent
        plan.row.tenant = tenant
        if not plan.changes:
            return plan.row
        changes: Any = plan.changes
        options = WriteOptions(replace=True, expected={plan.row.revision})
        return agents.update_agent(actor=self._actor, agent=plan.row, changes=changes, config_write=options)

    def _key(self, tenant: Tenant, agent: Agent, plan: KeyPlan) -> None:
        if plan.change is None or plan.change.sign == Sign.SKIP:
            return
        if plan.row is not None:
            changes: Any = plan.changes
            apikeys.update_key(actor=self._actor, key=plan.row, changes=changes, expected={plan.row.revision})
            return
        settings, later = _split(plan.changes, KeySettings.__annotations__, ("name",))
        issued = apikeys.issue_key(actor=self._actor, agent=agent, name=plan.declared.name, **settings)
        if later:
            apikeys.update_key(actor=self._actor, key=issued.key, changes=later)
        self.secrets.append(
            NewSecret(
                tenant=tenant.tenant_name,
                agent=agent.name,
                key=issued.key.name,
                tenant_id=tenant.pk,
                agent_id=agent.pk,
                api_key_id=issued.key.pk,
                api_key=issued.secret,
            )
        )


def _owns_name(owner: User, name_folded: str) -> bool:
    return Tenant.objects.filter(owner=owner, name_folded=name_folded).exists()


def _split(changes: dict[str, Any], settings: Any, names: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the fields that an object is created with, and those that only an update sets, without `names`."""
    first = {name: value for name, value in changes.items() if name in settings}
    return first, {name: value for name, value in changes.items() if name not in settings and name not in names}
