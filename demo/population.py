"""People, tenants, their members and agents, most of them small and a few large."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils.crypto import get_random_string

from accounts.fields import USER_FIELDS
from accounts.models import User
from agent_config.secrets import masked
from agents.fields import AGENT_FIELDS
from agents.models import Agent, AgentStatus, ConfigVersion
from core.actor import Actor, command_actor
from demo.configs import histories
from demo.context import Context
from demo.words import TAGS
from tenants.fields import TENANT_FIELDS
from tenants.models import Membership, Role, Tenant, TenantStatus, TenantType

HISTORY = timedelta(days=400)
_MOMENT = timedelta(microseconds=1)
_MAX_MEMBERS = 40
_ROLES = (Role.ADMIN, Role.MEMBER, Role.MEMBER, Role.MEMBER, Role.VIEWER)


@dataclass
class Site:
    """A tenant, its share of all keys, and who manages it since when."""

    number: int
    row: Tenant
    weight: float
    managers: list[tuple[datetime, User]] = field(default_factory=list)


@dataclass
class Bot:
    """An agent, its share of the keys, and the tenant that it is of. `is_live` if its keys are good now."""

    number: int
    row: Agent
    site: Site
    weight: float
    versions: int
    is_live: bool


class Population:
    """Everybody and everything that keys belong to."""

    def __init__(self, context: Context) -> None:
        self.users: list[User] = []
        self.sites: list[Site] = []
        self.bots: list[Bot] = []
        self._context = context
        self._random, self._now = context.random, context.now
        self._histories = histories()

    def make(self, alice: User, *, tenants: int, agents: int) -> None:
        """Make so many tenants and agents. Alice owns the largest tenant."""
        alice.created_at = self._now - HISTORY
        self.users.append(alice)
        self.users += [self._user() for _ in range(tenants * 2 // 3 - 1)]
        for user in self.users:
            self._site(user, user.created_at + _MOMENT, is_personal=True)
        while len(self.sites) < tenants:
            owner = self._random.choice(self.users)
            self._site(owner, self._context.moment_after(owner.created_at), is_personal=False)
        # Of these the largest is Alice's.
        largest = max(site.weight for site in self.sites)
        self._site(alice, alice.created_at + timedelta(hours=1), is_personal=False, weight=largest)
        for site in self.sites:
            self._bot(site)
        weights = [site.weight for site in self.sites]
        for site in self._random.choices(self.sites, weights, k=max(0, agents - len(self.sites))):
            self._bot(site)

    def actor(self, site: Site, at: datetime) -> Actor:
        """Return somebody who managed a tenant at a time."""
        owner, *others = [user for since, user in site.managers if since <= at]
        user = self._random.choice(others) if others and self._random.random() < 0.4 else owner
        return self._context.chronicle.person(user.pk, user.username)

    def write_people(self) -> None:
        """Write all people, tenants and memberships, and note how they came."""
        for user in self.users:
            self._write_user(user)
        for site in self.sites:
            self._write_tenant(site)

    def _write_user(self, user: User) -> None:
        actor = self._context.chronicle.person(user.pk, user.username)
        self._context.storage.add(user)
        self._context.chronicle.note(
            user.created_at, actor, "user.create", user.pk, None, after=USER_FIELDS.audit_state(user)
        )

    def _write_tenant(self, site: Site) -> None:
        tenant = site.row
        owner = site.managers[0][1]
        actor = self._context.chronicle.person(owner.pk, owner.username)
        status, tenant.status = tenant.status, TenantStatus.ACTIVE
        created = TENANT_FIELDS.audit_state(tenant)
        tenant.status = status
        self._context.storage.add(tenant)
        self._context.chronicle.note(tenant.created_at, actor, "tenant.create", tenant.pk, tenant.pk, after=created)
        self._context.storage.add(Membership(tenant=tenant, user=owner, role=Role.OWNER, created_at=tenant.created_at))
        if status != TenantStatus.ACTIVE:
            self._context.chronicle.note(
                tenant.updated_at,
                command_actor("tenants suspend"),
                "tenant.update",
                tenant.pk,
                tenant.pk,
                before={"status": TenantStatus.ACTIVE.value},
                after={"status": status},
            )
        if tenant.tenant_type == TenantType.ENTERPRISE:
            self._write_members(site, actor)

    def agent_born(self, bot: Bot) -> None:
        """Write an agent, and the versions of its config."""
        agent, history = bot.row, self._histories[bot.number % len(self._histories)]
        actor = self.actor(bot.site, agent.created_at)
        at, status = agent.created_at, agent.status
        agent.status = AgentStatus.ACTIVE
        for number in range(1, bot.versions + 1):
            agent.config, agent.config_version = history.states[number - 1], number
            if number == 1:
                after = {**AGENT_FIELDS.audit_state(agent), "config": masked(agent.config)}
                self._context.chronicle.note(at, actor, "agent.create", agent.pk, agent.tenant_id, after=after)
            else:
                at, actor = self._context.moment_after(at), self.actor(bot.site, at)
                before: dict[str, Any] = {"config_version": number - 1}
                after = {"config_version": number}
                self._context.chronicle.note(
                    at, actor, "agent.update", agent.pk, agent.tenant_id, before=before, after=after
                )
            self._context.storage.add(
                ConfigVersion(
                    agent=agent,
                    tenant_id=agent.tenant_id,
                    number=number,
                    config=agent.config,
                    patch=history.patches[number - 1],
                    author_kind=actor.kind,
                    author_id=actor.id,
                    author=actor.label,
                    note=None,
                    created_at=at,
                )
            )
        if status != AgentStatus.ACTIVE:
            at, actor = self._context.moment_after(at), self.actor(bot.site, at)
            before, agent.status = {"status": agent.status}, status
            after = {"status": status}
            self._context.chronicle.note(
                at, actor, "agent.update", agent.pk, agent.tenant_id, before=before, after=after
            )
        agent.updated_at = at
        self._context.storage.add(agent)

    def _write_members(self, site: Site, actor: Actor) -> None:
        tenant, owner = site.row, site.managers[0][1]
        number = min(_MAX_MEMBERS, int(self._random.paretovariate(0.8)) + 1)
        for user in self._random.sample(self.users, min(number, len(self.users))):
            if user.pk == owner.pk:
                continue
            role = self._random.choice(_ROLES)
            since = self._context.moment_after(max(user.created_at, tenant.created_at))
            if role == Role.ADMIN:
                site.managers.append((since, user))
            self._context.storage.add(Membership(tenant=tenant, user=user, role=role, created_at=since))
            after = {"user": user.pk, "username": user.username, "role": role.value}
            self._context.chronicle.note(since, actor, "membership.set", tenant.pk, tenant.pk, after=after)

    # ---- unsaved rows

    def _user(self) -> User:
        user = User(id=self._id("user"), is_active=self._random.random() > 0.02)
        user.set_username(self._context.words.username())
        user.set_email(f"{user.username}@example.com")
        user.password = f"!{get_random_string(40)}"  # one that nobody can sign in with
        user.created_at = self._now - (HISTORY * self._random.random() ** 1.3)
        return user

    def _site(self, owner: User, created: datetime, *, is_personal: bool, weight: float | None = None) -> None:
        kind = TenantType.PERSONAL if is_personal else TenantType.ENTERPRISE
        tenant = Tenant(id=self._id("tenant"), owner=owner, owner_scope=owner.pk, tenant_type=kind)
        tenant.set_name(f"{owner.username}'s Personal Tenant" if is_personal else self._context.words.tenant(owner.pk))
        tenant.contact_email = owner.email
        tenant.created_at = tenant.updated_at = created
        if weight is None:
            # A long tail: half of the tenants have a few keys, and a handful has a tenth of all.
            weight = min(self._random.paretovariate(1.1), 2000) * (1 if is_personal else 5)
            if self._random.random() < 0.02:
                tenant.status, tenant.updated_at = TenantStatus.SUSPENDED, self._context.moment_after(created)
        self.sites.append(Site(len(self.sites), tenant, weight, [(created, owner)]))

    def _bot(self, site: Site) -> None:
        agent = Agent(id=self._id("agent"), tenant=site.row)
        agent.set_name(self._context.words.agent(site.row.pk))
        agent.created_at = self._context.moment_after(site.row.created_at)
        agent.tags = self._random.sample(TAGS, self._random.choice((0, 0, 1, 2)))
        agent.status = self._random.choices(AgentStatus.values, (94, 4, 2))[0]
        if self._random.random() < 0.1:
            agent.quota = {"limit": 1_000_000, "period": "month"}
        weight = self._random.paretovariate(1.3)
        versions = self._random.choices((1, 2, 3, 4), (70, 15, 10, 5))[0]
        is_live = (site.row.status, agent.status) == (TenantStatus.ACTIVE, AgentStatus.ACTIVE)
        self.bots.append(Bot(len(self.bots), agent, site, weight, versions, is_live))

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._random.getrandbits(48):012x}"
