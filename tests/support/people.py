"""The people of the tests: Alice owns a tenant, Bob is a member of it, Charlie is a stranger with one of his own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from django.conf import settings
from django.utils import timezone

from accounts import services as accounts
from accounts.models import TokenSession, User
from agents import services as agents
from agents.models import Agent
from apikeys import services as apikeys
from apikeys.services import IssuedKey
from core.actor import Actor, ActorKind, command_actor
from core.http.surfaces import PUBLIC
from tenants import members
from tenants import services as tenants
from tenants.models import Role, Tenant
from tests.support.client import SurfaceClient

PASSWORD = "password123"
OPERATOR = command_actor("tests")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Person:
    """A registered user, signed in."""

    user: User
    tenant: Tenant
    token: str

    @property
    def actor(self) -> Actor:
        return Actor(kind=ActorKind.USER, id=self.user.id, label=self.user.username)

    @property
    def client(self) -> SurfaceClient:
        return SurfaceClient(PUBLIC, self.token)


def register(username: str, *, is_active: bool = True) -> Person:
    """Register a person with a personal tenant and a session. The token never expires, so tests may change the time."""
    user = tenants.register(actor=OPERATOR, username=username, password=PASSWORD)
    pair = accounts.sign_in(actor=OPERATOR, user=user)
    if not is_active:
        User.objects.filter(pk=user.pk).update(is_active=False)
    return Person(user=user, tenant=user.owned_tenants.get(), token=_timeless(pair.access))


def see_everybody() -> None:
    """Note all sessions as seen now, so that no request has to, however long ago their people were registered."""
    TokenSession.objects.update(last_seen_at=timezone.now())


def with_claims(token: str, **changes: Any) -> str:
    """Return a token with other claims, signed as the servers of this process sign."""
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode({**claims, **changes}, settings.SECRET_KEY, header["alg"], headers=header)


def _timeless(access: str) -> str:
    since, until = datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
    return with_claims(access, iat=int(since.timestamp()), exp=int(until.timestamp()))


def join(person: Person, tenant: Tenant, role: Role = Role.MEMBER) -> None:
    """Give a person a role in a tenant."""
    members.set_member(actor=OPERATOR, tenant=tenant, user_id=person.user.id, role=role)


def give_up_tenants(person: Person) -> Person:
    """Delete all tenants that a person owns, and return the person, who may close the account then."""
    for tenant in person.user.owned_tenants.all():
        tenants.delete_tenant(actor=OPERATOR, tenant=tenant)
    return person


def make_agent(tenant: Tenant, name: str | None = None, **fields: Any) -> Agent:
    return agents.create_agent(actor=OPERATOR, tenant=tenant, name=name or f"agent {next(_numbers)}", **fields)


def make_key(agent: Agent, name: str | None = None, **fields: Any) -> IssuedKey:
    return apikeys.issue_key(actor=OPERATOR, agent=agent, name=name or f"key {next(_numbers)}", **fields)
