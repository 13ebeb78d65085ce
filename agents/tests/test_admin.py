"""Agents in the operators' admin."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.apps import apps

from agent_config.secrets import opened
from agents.models import Agent
from core.models import AuditEntry
from tests.support.operators import Operator, errors_of, form_of, sign_in, url
from tests.support.people import Person, make_agent, make_key

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
SECRET = "sk-very-secret"
MASK = "********"


def with_provider(**fields: Any) -> dict[str, Any]:
    provider = {"name": "mine", "base_url": "https://llm.example.org", "api_key": SECRET, **fields}
    return {"config_overrides": {"model": {"api_providers": [provider]}}}


@pytest.fixture
def agent(alice: Person) -> Agent:
    return make_agent(alice.tenant, "Helper", config={"temperature": 0.7, **with_provider()}, tags=["beta"])


def test_an_operator_adds_an_agent(olivia: Operator, alice: Person) -> None:
    response = olivia.add(
        Agent, tenant=alice.tenant.pk, name="Scout", config=json.dumps(with_provider()), tags='["a", "文"]'
    )

    agent = Agent.unscoped.get(name="Scout")
    assert response["Location"] == url(Agent)
    assert (agent.tenant_id, agent.tags, agent.template_id) == (alice.tenant.pk, ["a", "文"], None)
    assert opened(agent.config) == with_provider()
    entry = olivia.audit_of("agent.create")
    assert (entry.object_id, entry.tenant_id) == (agent.pk, alice.tenant.pk)
    assert SECRET not in str(entry.after)


def test_an_agent_needs_no_config(olivia: Operator, alice: Person) -> None:
    olivia.add(Agent, tenant=alice.tenant.pk, name="Scout", config="null", tags="")

    agent = Agent.unscoped.get(name="Scout")
    assert (agent.config, agent.tags) == ({}, [])


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"name": "HELPER"}, {"__all__": ["An agent of this name already exists in the tenant"]}),
        ({"name": ""}, {"name": ["This field is required."]}),
        (
            {"tenant": "tenant_000000000000"},
            {"tenant": ["Select a valid choice. That choice is not one of the available choices."]},
        ),
        ({"config": '{"persona": 5}'}, {"__all__": ["persona: must be an object or a text"]}),
        (
            {"config": json.dumps(with_provider(api_key=MASK))},
            {
                "__all__": [
                    "config_overrides.model.api_providers[0].api_key: the mask keeps a stored value, and none is stored"
                ]
            },
        ),
        ({"tags": "{}"}, {"tags": ["Must be a list."]}),
        ({"tags": '["a", 5]'}, {"tags": ["1: Not a valid string."]}),
    ],
)
def test_invalid_new_agent_is_refused(
    olivia: Operator, alice: Person, agent: Agent, fields: dict[str, str], errors: dict[str, list[str]]
) -> None:
    before = AuditEntry.objects.count()

    response = olivia.add(Agent, **{"tenant": alice.tenant.pk, "name": "Scout", **fields})

    assert errors_of(response) == errors
    assert (Agent.unscoped.count(), AuditEntry.objects.count()) == (1, before)


def test_an_operator_changes_an_agent(olivia: Operator, agent: Agent) -> None:
    olivia.change(agent, name="Aide", status="archived", tags="[]")

    agent.refresh_from_db()
    assert (agent.name, agent.status, agent.tags) == ("Aide", "archived", [])
    entry = olivia.audit_of("agent.update")
    assert entry.before == {"name": "Helper", "status": "active", "tags": ["beta"]}
    assert entry.after == {"name": "Aide", "status": "archived", "tags": []}


def test_the_config_is_shown_masked(olivia: Operator, agent: Agent) -> None:
    response = olivia.get(url(agent, "change"))

    assert SECRET not in response.content.decode()
    assert "llm.example.org" not in response.content.decode()
    shown = json.loads(form_of(response)["config"][0])
    assert shown == {"temperature": 0.7, **with_provider(api_key=MASK, base_url=MASK)}


def test_saving_a_form_unchanged_changes_nothing(olivia: Operator, agent: Agent) -> None:
    before = AuditEntry.objects.count()

    assert olivia.change(agent).status_code == 302

    agent.refresh_from_db()
    assert opened(agent.config) == {"temperature": 0.7, **with_provider()}
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("nothing", ["", "null", "{}"])
def test_emptied_config_changes_nothing(olivia: Operator, agent: Agent, nothing: str) -> None:
    assert olivia.change(agent, config=nothing).status_code == 302

    agent.refresh_from_db()
    assert opened(agent.config) == {"temperature": 0.7, **with_provider()}


def test_a_changed_config_is_merged_and_a_mask_keeps_its_secret(olivia: Operator, agent: Agent) -> None:
    sent = {"temperature": None, "custom": [1], **with_provider(api_key=MASK, base_url=MASK, max_retry=2)}

    olivia.change(agent, config=json.dumps(sent))

    agent.refresh_from_db()
    assert opened(agent.config) == {"custom": [1], **with_provider(max_retry=2)}
    entry = olivia.audit_of("agent.update")
    assert SECRET not in f"{entry.before} {entry.after}"


def test_refused_config_is_shown_again(olivia: Operator, agent: Agent) -> None:
    sent = '{"bot_overrides": []}'

    response = olivia.change(agent, config=sent, name="Aide")

    assert errors_of(response) == {"__all__": ["bot_overrides: must be an object"]}
    assert form_of(response)["config"] == [sent]
    agent.refresh_from_db()
    assert agent.name == "Helper"


def test_no_secret_can_be_guessed_by_filtering(olivia: Operator, agent: Agent) -> None:
    for lookup in ("config__contains", "config", "tenant__owner__password__startswith"):
        assert olivia.client.get(url(Agent), {lookup: "s"}).status_code == 400


def test_operator_with_read_access_sees_the_config_masked(agent: Agent) -> None:
    oscar = sign_in("oscar", is_superuser=False)

    page = oscar.get(url(agent, "change")).content.decode()

    assert "temperature&quot;: 0.7" in page
    assert MASK in page
    assert SECRET not in page
    assert "<textarea" not in page


def test_agents_are_found_by_their_tenant(olivia: Operator, alice: Person, agent: Agent, charlie: Person) -> None:
    make_agent(charlie.tenant, "Other")

    def found(**query: str) -> list[str]:
        return [row.name for row in olivia.get(url(Agent), **query).context_data["cl"].result_list]

    assert sorted(found()) == ["Helper", "Other"]
    assert found(q=alice.tenant.pk) == ["Helper"]
    assert found(q=charlie.tenant.pk) == ["Other"]
    assert found(q="HELP") == ["Helper"]
    assert found(status__exact="archived") == []


def test_an_operator_deletes_an_agent_with_its_keys(olivia: Operator, agent: Agent) -> None:
    make_key(agent, "First")
    page = olivia.get(url(agent, "delete")).content.decode()
    assert "API keys: 1" in page
    assert SECRET not in page

    assert olivia.delete(agent)["Location"] == url(Agent)

    assert (Agent.unscoped.count(), apps.get_model("apikeys.ApiKey").unscoped.count()) == (0, 0)
    entry = olivia.audit_of("agent.delete")
    assert entry.before["name"] == "Helper"
    assert SECRET not in str(entry.before)


def test_operators_delete_agents_in_bulk(olivia: Operator, agent: Agent, charlie: Person) -> None:
    other = make_agent(charlie.tenant)
    assert SECRET not in olivia.act("delete_selected", agent, other).content.decode()

    rows = [agent.pk, other.pk]
    olivia.client.post(url(Agent), {"action": "delete_selected", "_selected_action": rows, "post": "yes"})

    assert not Agent.unscoped.exists()
    assert AuditEntry.objects.filter(action="agent.delete", actor_id=olivia.user.pk).count() == 2


def test_tenant_is_chosen_in_a_popup_list(olivia: Operator, alice: Person) -> None:
    assert "/admin/tenants/tenant/?_to_field=id" in olivia.get(url(Agent, "add")).content.decode()

    popup = olivia.get("/admin/tenants/tenant/", _to_field="id", _popup="1").content.decode()

    assert f'data-popup-opener="{alice.tenant.pk}"' in popup


class TestWarnings:
    """It is saved with a warning, or refused at the operator's wish."""

    ODD = json.dumps({"persona": {"states": [{"name": "正常"}]}})

    def test_a_new_agent_is_saved_with_a_warning(self, olivia: Operator, alice: Person) -> None:
        response = olivia.add(Agent, tenant=alice.tenant.pk, name="Scout", config=self.ODD)

        assert Agent.unscoped.get(name="Scout").config == json.loads(self.ODD)
        assert "persona.states[0]: must be a text" in olivia.get(response["Location"]).content.decode()

    def test_changed_agent_is_saved_with_a_warning(self, olivia: Operator, agent: Agent) -> None:
        response = olivia.change(agent, config=self.ODD)

        assert "persona.states[0]: must be a text" in olivia.get(response["Location"]).content.decode()
        response = olivia.change(agent, name="Another")
        assert "persona.states[0]" not in olivia.get(response["Location"]).content.decode()

    def test_agent_with_warnings_is_refused_with_strict(self, olivia: Operator, agent: Agent, alice: Person) -> None:
        errors = {"__all__": ["persona.states[0]: must be a text"]}

        assert errors_of(olivia.add(Agent, tenant=alice.tenant.pk, name="S", config=self.ODD, strict="on")) == errors
        assert errors_of(olivia.change(agent, config=self.ODD, strict="on")) == errors
        assert Agent.unscoped.count() == 1
