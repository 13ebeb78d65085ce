"""The right to set secrets, which a row of the roles' table gives (tenants.roles)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from agents import services
from agents.models import Agent, Template
from agents.services import templates
from agents.services.config_writes import WriteOptions
from tenants.models import Role
from tenants.roles import ALLOWED, Access
from tests.support.people import OPERATOR, Person, join, make_agent
from tests.support.tables import changed_tables, tables

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

SECRET = {"webhook": {"api_key": "sk-new"}}
MASKED = {"webhook": {"api_key": "********"}}
PLAIN = {"persona": "kind"}


@dataclass(frozen=True)
class Data:
    """Bob, who may do in Alice's tenant what an admin may, but not set secrets, an agent and a template of it."""

    bob: Person
    agent: Agent
    template: Template

    def send(self, request: str, body: dict[str, Any]) -> Any:
        method, path = request.split(" ")
        ids = {"tenant_id": self.agent.tenant_id, "agent_id": self.agent.pk, "template_id": self.template.pk}
        return self.bob.client.send(method, path.format(**ids), body)


@pytest.fixture
def data(alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch) -> Data:
    join(bob, alice.tenant, Role.ADMIN)
    agent = make_agent(alice.tenant, config=SECRET)
    template = templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="template", config=SECRET)
    monkeypatch.setitem(ALLOWED, Role.ADMIN, ALLOWED[Role.ADMIN] - {Access.SET_SECRETS})
    return Data(bob, agent, template)


def body(config: dict[str, Any], **fields: str) -> dict[str, Any]:
    return {**fields, "config": config}


def plugin(config: dict[str, Any]) -> dict[str, Any]:
    return {"plugin_name": "weather", "enabled": True, "config": config}


# Each request, and its body with a config.
WRITES = [
    ("POST /api/v1/agents", lambda config: body(config, name="new", tenant_id="{tenant_id}")),
    ("PUT /api/v1/agents/{agent_id}", body),
    ("PUT /api/v1/agents/{agent_id}/config", lambda config: config),
    ("PUT /api/v1/agents/{agent_id}/config?replace=1", lambda config: config),
    ("POST /api/v1/agents/import?tenant_id={tenant_id}", lambda config: body(config, name="new") | {"maim_export": 1}),
    ("POST /api/v1/templates", lambda config: body(config, name="new", tenant_id="{tenant_id}")),
    ("PUT /api/v1/templates/{template_id}", body),
    ("POST /api/v1/plugins/settings?agent_id={agent_id}", plugin),
    ("POST /api/v1/plugins/settings?tenant_id={tenant_id}", plugin),
    ("PUT /api/v1/tenants/{tenant_id}", lambda config: {"tenant_config": {"agent_defaults": config}}),
    ("PUT /api/v1/tenants/{tenant_id}", lambda config: {"tenant_config": config}),
]


@pytest.mark.parametrize(
    ("request_line", "body_with"), WRITES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_secret_takes_the_right_and_nothing_else_does(request_line: str, body_with: Any, data: Data) -> None:
    ids = {"tenant_id": data.agent.tenant_id}
    sent = [
        {key: value.format(**ids) if key == "tenant_id" else value for key, value in body_with(config).items()}
        for config in ({"webhook": {"api_key": "sk-other"}}, PLAIN)
    ]
    before = tables()

    refused = data.send(request_line, sent[0])

    assert refused.status_code == 403, refused.content
    assert changed_tables(before, tables()) == set()
    assert data.send(request_line, sent[1]).status_code == 200


def test_stored_secret_may_be_kept_and_sent_again(data: Data) -> None:
    for config in (MASKED, SECRET):
        assert data.send("PUT /api/v1/agents/{agent_id}/config", {**config, **PLAIN}).status_code == 200


def test_removed_secret_comes_back_with_the_right_alone(data: Data) -> None:
    services.update_agent(
        actor=OPERATOR, agent=data.agent, changes={"config": PLAIN}, config_write=WriteOptions(replace=True)
    )

    assert data.send("POST /api/v1/agents/{agent_id}/config/restore", {"version": 1}).status_code == 403
    assert data.send("POST /api/v1/agents/{agent_id}/config/restore", {"version": 2}).status_code == 200


def test_imported_plugins_take_the_right(data: Data) -> None:
    document = {"maim_export": 1, "name": "new", "plugins": [plugin(SECRET)]}

    refused = data.send("POST /api/v1/agents/import?tenant_id={tenant_id}", document)

    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")


def test_everybody_who_writes_agents_has_the_right() -> None:
    assert {role for role in Role if Access.SET_SECRETS in ALLOWED[role]} == {
        role for role in Role if Access.WRITE_AGENTS in ALLOWED[role]
    }


def test_whoever_invites_may_do_all_that_the_invited_may() -> None:
    inviters = [rights for rights in ALLOWED.values() if Access.MANAGE_MEMBERS in rights]

    assert all(ALLOWED[role] <= rights for role in Role if role != Role.OWNER for rights in inviters)
