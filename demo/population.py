"""People, tenants, their members and agents, most of them small and a few large."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.utils.crypto import get_random_string

from accounts.fields import USER_FIELDS
from accounts.models import User
from agent_config.patches import Patch
from agent_config.secrets import masked
from agents.fields import AGENT_FIELDS
from agents.models import Agent, AgentStatus, ConfigVersion
from core.actor import Actor, command_actor
from demo.configs import histories
from demo.context import Context
from demo.names import TAGS
from tenants.fields import TENANT_FIELDS
from tenants.models import Membership, Role, Tenant, TenantStatus, TenantType

HISTORY = timedelta(days=400)
_MOMENT = timedelta(microseconds=1)
_MAX_MEMBERS = 40
_ROLES = (Role.ADMIN, Role.MEMBER, Role.MEMBER, Role.MEMBER, Role.VIEWER)


@dataclass
class DemoTenant:
    """A tenant, its share of all keys, and who manages it since when."""

    number: int
    row: Tenant
    weight: float
    managers: list[tuple[datetime, User]] = field(default_factory=list)


@dataclass
class DemoAgent:
    """An agent, its share of the keys, and the tenant that it is of. `is_live` if its keys are good now."""

    number: int
    row: Agent
    tenant: DemoTenant
    weight: float
    versions: int
    is_live: bool


class Population:
    """Everybody and everything that keys belong to."""

    def __init__(self, context: Context) -> None:
        self.users: list[User] = []
        self.tenants: list[DemoTenant] = []
        self.agents: list[DemoAgent] = []
        self._context = context
        self._random, self._now = context.random, context.now
        self._histories = histories()

    def make(self, alice: User, *, tenants: int, agents: int) -> None:
        """Make so many tenants and agents. Alice owns the largest tenant."""
        alice.created_at = self._now - HISTORY
        self.users.append(alice)
        self.users += [self._make_user() for _ in range(tenants * 2 // 3 - 1)]
        for user in self.users:
            self._make_tenant(user, user.created_at + _MOMENT, is_personal=True)
        while len(self.tenants) < tenants:
            owner = self._random.choice(self.users)
            self._make_tenant(owner, self._context.moment_after(owner.created_at), is_personal=False)
        # Of these the largest is Alice's.
        largest = max(tenant.weight for tenant in self.tenants)
        self._make_tenant(alice, alice.created_at + timedelta(hours=1), is_personal=False, weight=largest)
        for tenant in self.tenants:
            self._make_agent(tenant)
        weights = [tenant.weight for tenant in self.tenants]
        for tenant in self._random.choices(self.tenants, weights, k=max(0, agents - len(self.tenants))):
            self._make_agent(tenant)

    def actor(self, tenant: DemoTenant, at: datetime) -> Actor:
        """Return somebody who managed a tenant at a time."""
        owner, *others = [user for since, user in tenant.managers if since <= at]
        user = self._random.choice(others) if others and self._random.random() < 0.4 else owner
        return self._context.audit_trail.person(user.pk, user.username)

    def write_people(self) -> None:
        """Write all people, tenants and memberships, and record how they came."""
        for user in self.users:
            self._write_user(user)
        for tenant in self.tenants:
            self._write_tenant(tenant)

    def _write_user(self, user: User) -> None:
        actor = self._context.audit_trail.person(user.pk, user.username)
        self._context.storage.add(user)
        self._context.audit_trail.record(
            user.created_at, actor, "user.create", user.pk, None, after=USER_FIELDS.audit_state(user)
        )

    def _write_tenant(self, tenant: DemoTenant) -> None:
        row, owner = tenant.row, tenant.managers[0][1]
        actor = self._context.audit_trail.person(owner.pk, owner.username)
        status, row.status = row.status, TenantStatus.ACTIVE
        created = TENANT_FIELDS.audit_state(row)
        row.status = status
        self._context.storage.add(row)
        self._context.audit_trail.record(row.created_at, actor, "tenant.create", row.pk, row.pk, after=created)
        self._context.storage.add(Membership(tenant=row, user=owner, role=Role.OWNER, created_at=row.created_at))
        if status != TenantStatus.ACTIVE:
            self._context.audit_trail.record(
                row.updated_at,
                command_actor("tenants suspend"),
                "tenant.update",
                row.pk,
                row.pk,
                before={"status": TenantStatus.ACTIVE.value},
                after={"status": status},
            )
        if row.tenant_type == TenantType.ENTERPRISE:
            self._write_members(tenant, actor)

    def write_agent(self, agent: DemoAgent) -> None:
        """Write an agent, and the versions of its config."""
        row, history = agent.row, self._histories[agent.number % len(self._histories)]
        at, actor = row.created_at, self.actor(agent.tenant, row.created_at)
        status, row.status = row.status, AgentStatus.ACTIVE
        versions = islice(zip(history.states, history.patches, strict=True), agent.versions)
        for number, (config, patch) in enumerate(versions, 1):
            row.config, row.config_version = config, number
            if number == 1:
                after = {**AGENT_FIELDS.audit_state(row), "config": masked(config)}
                self._context.audit_trail.record(at, actor, "agent.create", row.pk, row.tenant_id, after=after)
            else:
                at, actor = self._record_update(agent, at, {"config_version": number - 1}, {"config_version": number})
            self._context.storage.add(_version(row, patch, actor, at))
        if status != AgentStatus.ACTIVE:
            at, _actor = self._record_update(agent, at, {"status": row.status}, {"status": status})
            row.status = status
        row.updated_at = at
        self._context.storage.add(row)

    def _record_update(
        self, agent: DemoAgent, last: datetime, before: dict[str, Any], after: dict[str, Any]
    ) -> tuple[datetime, Actor]:
        """Record a change of an agent after its last one, and return when it was, and by whom."""
        at, row = self._context.moment_after(last), agent.row
        actor = self.actor(agent.tenant, last)
        self._context.audit_trail.record(at, actor, "agent.update", row.pk, row.tenant_id, before=before, after=after)
        return at, actor

    def _write_members(self, tenant: DemoTenant, actor: Actor) -> None:
        row, owner = tenant.row, tenant.managers[0][1]
        number = min(_MAX_MEMBERS, int(self._random.paretovariate(0.8)) + 1)
        for user in self._random.sample(self.users, min(number, len(self.users))):
            if user.pk == owner.pk:
                continue
            role = self._random.choice(_ROLES)
            since = self._context.moment_after(max(user.created_at, row.created_at))
            if role == Role.ADMIN:
                tenant.managers.append((since, user))
            self._context.storage.add(Membership(tenant=row, user=user, role=role, created_at=since))
            after = {"user": user.pk, "username": user.username, "role": role.value}
            self._context.audit_trail.record(since, actor, "membership.set", row.pk, row.pk, after=after)

    # ---- unsaved rows

    def _make_user(self) -> User:
        user = User(id=self._id("user"), is_active=self._random.random() > 0.02)
        user.set_username(self._context.names.username())
        user.set_email(f"{user.username}@example.com")
        user.password = f"!{get_random_string(40)}"  # one that nobody can sign in with
        user.created_at = self._now - (HISTORY * self._random.random() ** 1.3)
        return user

    def _make_tenant(self, owner: User, created: datetime, *, is_personal: bool, weight: float | None = None) -> None:
        kind = TenantType.PERSONAL if is_personal else TenantType.ENTERPRISE
        row = Tenant(id=self._id("tenant"), owner=owner, owner_scope=owner.pk, tenant_type=kind)
        row.set_name(f"{owner.username}'s Personal Tenant" if is_personal else self._context.names.tenant(owner.pk))
        row.contact_email = owner.email
        row.created_at = row.updated_at = created
        if weight is None:
            # A long tail: half of the tenants have a few keys, and a handful has a tenth of all.
            weight = min(self._random.paretovariate(1.1), 2000) * (1 if is_personal else 5)
            if self._random.random() < 0.02:
                row.status, row.updated_at = TenantStatus.SUSPENDED, self._context.moment_after(created)
        self.tenants.append(DemoTenant(len(self.tenants), row, weight, [(created, owner)]))

    def _make_agent(self, tenant: DemoTenant) -> None:
        row = Agent(id=self._id("agent"), tenant=tenant.row)
        row.set_name(self._context.names.agent(tenant.row.pk))
        row.created_at = self._context.moment_after(tenant.row.created_at)
        row.tags = self._random.sample(TAGS, self._random.choice((0, 0, 1, 2)))
        row.status = self._random.choices(AgentStatus.values, (94, 4, 2))[0]
        if self._random.random() < 0.1:
            row.quota = {"limit": 1_000_000, "period": "month"}
        weight = self._random.paretovariate(1.3)
        versions = self._random.choices((1, 2, 3, 4), (70, 15, 10, 5))[0]
        is_live = (tenant.row.status, row.status) == (TenantStatus.ACTIVE, AgentStatus.ACTIVE)
        self.agents.append(DemoAgent(len(self.agents), row, tenant, weight, versions, is_live))

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._random.getrandbits(48):012x}"


def _version(agent: Agent, patch: Patch, author: Actor, at: datetime) -> ConfigVersion:
    """Return the version of an agent's current config."""
    return ConfigVersion(
        agent=agent,
        tenant_id=agent.tenant_id,
        number=agent.config_version,
        config=agent.config,
        patch=patch,
        author_kind=author.kind,
        author_id=author.id,
        author=author.label,
        note=None,
        created_at=at,
    )
