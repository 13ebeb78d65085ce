"""Objects of every kind, which tests delete and restore in the middle of reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, models, transaction
from django.utils import timezone

from accounts import services as accounts
from accounts.models import Invitation, PersonalToken, QueuedMail, TokenSession, User
from agents import services
from agents.models import Agent, AgentActivity, ConfigVersion, PluginSetting, Template
from agents.services import plugins, templates
from apikeys.models import ApiKey, DailyUse, KeySecret, UsageLogEntry
from apikeys.usage_log import log_usage
from core.models import AuditEntry, DeletedObject, DeletedRows
from operations import services as operations
from operations.models import BulkOperation, Kind
from operations.selections import Selection
from tenants.models import Membership, Tenant, TenantInvitation
from tests.support.invitations import invite
from tests.support.people import OPERATOR, Person, join, make_agent, make_key, register
from tests.support.tokens import add_token

# Each kind after those that it refers to.
_MEMBER = (User, TokenSession, PersonalToken, Invitation, QueuedMail)
_TENANT = (Tenant, Membership, TenantInvitation)
_CONTENT = (Template, Agent, ConfigVersion, AgentActivity, PluginSetting)
_KEYS = (ApiKey, KeySecret, DailyUse, UsageLogEntry, AuditEntry)
_RECORDS = (DeletedObject, DeletedRows, BulkOperation)
# The kinds that disappear, by a name for the deletion.
DELETIONS: dict[str, tuple[type[models.Model], ...]] = {
    "everything": (*_MEMBER, *_TENANT, *_CONTENT, *_KEYS, *_RECORDS),
    "the agent": (*_CONTENT, *_KEYS),
    "the key": _KEYS,
}


Statements = list[tuple[str, Any]]


@dataclass(frozen=True)
class Objects:
    """Alice's tenant with an object of every kind, and Bob, a member who can be deleted, too."""

    bob: Person
    values: dict[str, str]
    rows: dict[type[models.Model], list[Any]]
    # The statements that delete and restore the rows of these kinds. They are kept because building them with the ORM
    # takes longer than running them.
    _deleting: dict[tuple[type[models.Model], ...], Statements] = field(default_factory=dict)
    _restoring: dict[tuple[type[models.Model], ...], Statements] = field(default_factory=dict)

    def delete(self, kinds: tuple[type[models.Model], ...]) -> None:
        """Delete the rows of these kinds, all at once."""
        _run(self._deleting[kinds])

    def restore(self, kinds: tuple[type[models.Model], ...]) -> None:
        """Store the rows of these kinds as they were, all at once."""
        _run(self._restoring[kinds])

    def prepare(self, kinds: tuple[type[models.Model], ...]) -> None:
        """Delete and restore the rows of these kinds once, and keep the statements."""
        with _recorded() as self._deleting[kinds]:
            for kind in reversed(kinds):
                rows = kind._base_manager.filter(pk__in=[row.pk for row in self.rows[kind]])
                rows._raw_delete(DEFAULT_DB_ALIAS)  # the kinds list the cascades
        with _recorded() as self._restoring[kinds]:
            for kind in kinds:
                if kind._meta.parents:  # which `bulk_create` does not take
                    for row in self.rows[kind]:
                        row.save_base(raw=True)
                else:
                    kind._base_manager.bulk_create(self.rows[kind], ignore_conflicts=True)


@contextmanager
def _recorded() -> Iterator[Statements]:
    """Run a block in a transaction, and yield the list to which its statements are appended."""
    statements: Statements = []

    def record(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with transaction.atomic(), connection.execute_wrapper(record):
        yield statements


def _run(statements: Statements) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for sql, params in statements:
            cursor.execute(sql, params)


def make_objects() -> Objects:
    """Create the objects, and load the rows of each kind."""
    alice, bob = register("alice"), register("bob")
    join(bob, alice.tenant)
    template = templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="template")
    agent = make_agent(alice.tenant, template_id=template.pk)
    agent = services.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"persona": "kind"}})
    services.record_activity(services.Heartbeat(alice.tenant.pk, agent.pk, 3600))
    plugins.set_plugin(
        actor=OPERATOR, tenant=alice.tenant, agent=agent, plugin_name="weather", enabled=True, config={"city": "Wuhan"}
    )
    key = make_key(agent, permissions=["chat"])
    services.delete_agent(actor=OPERATOR, agent=make_agent(alice.tenant, "gone"))
    operations.start(actor=OPERATOR, selection=Selection(kind=Kind.DISABLE_KEYS, ids=(key.key.pk,)))
    log_usage(action="chat", tenant_id=alice.tenant.pk)
    accounts.request_reset(actor=OPERATOR, email="bob@example.com")
    accounts.invite(actor=OPERATOR, email="dora@example.com")
    invite(alice.user, alice.tenant)
    add_token(bob.user)
    DailyUse.unscoped.bulk_create(
        [DailyUse(subject=key.key.pk, day=timezone.now().date(), tenant_id=alice.tenant.pk, uses=1)]
    )
    rows: dict[type[models.Model], list[Any]] = {
        kind: list(kind._base_manager.all()) for kind in DELETIONS["everything"]
    }
    rows[User] = [bob.user]
    rows[TokenSession] = [row for row in rows[TokenSession] if row.user_id == bob.user.pk]
    values = {
        "tenant_id": alice.tenant.pk,
        "agent_id": agent.pk,
        "key_id": key.key.pk,
        "template_id": template.pk,
        "number": "2",
        "api_key": key.secret,
    }
    objects = Objects(bob, values, rows)
    for kinds in DELETIONS.values():
        objects.prepare(kinds)
    return objects
