"""An operator and Alice, who may sign in, and keys of every kind whose secrets are shown."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any, NamedTuple

from django.utils import timezone

from accounts import services as accounts
from accounts.models import User
from accounts.operator_roles import OperatorRole
from agents import services as agents
from agents.models import Agent
from apikeys import services as apikeys
from apikeys.access import find_secret
from apikeys.verification import VALID, VerdictCode
from core.actor import command_actor
from tenants import services as tenants
from tenants.models import TenantType

_ACTOR = command_actor("demo")
_WEEK = timedelta(days=7)


class SignIn(NamedTuple):
    """A person who may sign in, and where."""

    where: str
    username: str
    password: str


class SampleKey(NamedTuple):
    """A key, and the verdict on it."""

    kind: str
    verdict: VerdictCode
    api_key: str


def new_person(username: str) -> tuple[User, str]:
    """Return an unsaved person, and their new password."""
    password = secrets.token_urlsafe(12)
    email = f"{username}@example.com"
    return accounts.new_user(username=username, password=password, email=email), password


def make_operator() -> SignIn:
    """Make an operator who may change everything."""
    password = secrets.token_urlsafe(12)
    accounts.create_user(actor=_ACTOR, username="operator", password=password, operator_role=OperatorRole.ADMIN)
    return SignIn("/admin/", "operator", password)


def make_keys(owner: User) -> list[SampleKey]:
    """Make a tenant of a person with one agent, and a key of every kind. Return the secrets."""
    tenant = tenants.create_tenant(
        actor=_ACTOR,
        tenant_name="Sample keys",
        tenant_type=TenantType.ENTERPRISE,
        owner_id=owner.pk,
        limits={"agents": 10, "keys": 100, "members": 10},  # whatever the defaults are here
    )
    return _Samples(agents.create_agent(actor=_ACTOR, tenant=tenant, name="Sample bot")).make()


class _Samples:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def make(self) -> list[SampleKey]:
        now = timezone.now()
        disabled = self._issue("disabled")
        apikeys.disable_key(actor=_ACTOR, key=disabled.key)
        leaked = self._issue("leaked")
        apikeys.report_leak(actor=_ACTOR, secret=find_secret(leaked.secret), where="a demonstration")
        old = self._issue("rotated")
        grace = int(_WEEK.total_seconds())
        rotated = apikeys.rotate_key(actor=_ACTOR, key=old.key, grace_seconds=grace)
        good = {
            "plain": self._issue("plain"),
            "all of config": self._issue("all of config", permissions=["config.*"]),
            "rate limit": self._issue("rate limit", rate_limit={"limit": 60, "window_seconds": 60}),
            "quota": self._issue("quota", quota={"limit": 1000, "period": "day"}),
            "this machine only": self._issue("this machine only", allowed_networks=["127.0.0.0/8", "::1"]),
            "expires in a week": self._issue("expires in a week", expires_at=now + _WEEK),
            "rotated": rotated,
            "rotated out, in its grace": old,
        }
        expired = self._issue("expired", expires_at=now - _WEEK)
        return [
            *(SampleKey(kind, VALID, issued.secret) for kind, issued in good.items()),
            SampleKey("expired", VerdictCode.EXPIRED, expired.secret),
            SampleKey("disabled", VerdictCode.DISABLED, disabled.secret),
            SampleKey("leaked", VerdictCode.DISABLED, leaked.secret),
        ]

    def _issue(self, name: str, **settings: Any) -> apikeys.IssuedKey:
        settings.setdefault("permissions", ["chat", "config_read"])
        return apikeys.issue_key(actor=_ACTOR, agent=self._agent, name=name, **settings)
