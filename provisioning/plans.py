"""Plans: the changes of each declared object, as the comparison with the database found them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from accounts.models import User
from agents.models import Agent
from apikeys.models import ApiKey
from provisioning.changes import Change, Sign
from provisioning.declaration import Declaration, DeclaredAgent, DeclaredKey, DeclaredMember, DeclaredTenant
from provisioning.yaml_file import Problem
from tenants.capacity import Resource, check_limit
from tenants.models import Membership, Tenant


@dataclass
class KeyPlan:
    """A declared key, its row if it exists, and what is to be done about it."""

    declared: DeclaredKey
    row: ApiKey | None
    change: Change | None
    changes: dict[str, Any]


@dataclass
class AgentPlan:
    """A declared agent, its row if it exists, and what is to be done about it and its keys."""

    declared: DeclaredAgent
    row: Agent | None
    change: Change | None
    changes: dict[str, Any]
    keys: list[KeyPlan] = field(default_factory=list)


@dataclass
class MemberPlan:
    """A declared member, and what is to be done about their role."""

    declared: DeclaredMember
    user: User
    change: Change | None


@dataclass
class TenantPlan:
    """A declared tenant, its row if it exists, and what is to be done about it and what is in it."""

    declared: DeclaredTenant
    row: Tenant | None
    change: Change | None
    changes: dict[str, Any]
    owner: User | None  # who is to own it; None: it stays as it is
    members: list[MemberPlan] = field(default_factory=list)
    agents: list[AgentPlan] = field(default_factory=list)
    removed: list[tuple[Change, Membership | Agent | ApiKey]] = field(default_factory=list)

    def shown(self) -> Iterator[Change]:
        """Yield the changes in the order in which they are shown and done."""
        plans: list[Any] = [*self.members]
        for agent in self.agents:
            plans += [agent, *agent.keys]
        yield from (plan.change for plan in [self] if plan.change is not None)
        yield from (change for change, _row in self.removed)
        yield from (plan.change for plan in plans if plan.change is not None)

    def check_limits(self, tenant: Tenant) -> None:
        """Raise TenantLimitReached if the tenant may not have as many new agents and keys. Lock it to be sure."""
        for resource, kind in ((Resource.AGENTS, "agent"), (Resource.KEYS, "key")):
            more = sum((change.sign, change.kind) == (Sign.ADD, kind) for change in self.shown())
            if more:
                check_limit(tenant, resource, adding=more)


@dataclass
class Plan:
    """The plans of all tenants of a file, and warnings about its configs."""

    declaration: Declaration
    tenants: list[TenantPlan]
    warnings: list[Problem]

    @property
    def changes(self) -> list[Change]:
        """All changes, also those that cannot be done here."""
        return [change for tenant in self.tenants for change in tenant.shown()]

    def number(self, *signs: Sign) -> int:
        """Return how many changes are of these kinds."""
        return sum(change.sign in signs for change in self.changes)
