"""The admin's pages about an agent's config."""

from __future__ import annotations

import pytest

from agent_config.secrets import opened
from agents import services
from agents.models import Agent
from core.display import DisplayName
from tests.support.configs import Config, model, provider
from tests.support.operators import Operator, sign_in, url
from tests.support.people import OPERATOR, Person, make_agent

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
FIRST: Config = {
    "temperature": 0.7,
    "words": ["one", "two", "three"],
    **model(api_providers=[provider(api_key="sk-first", base_url="https://first.example")]),
}
SECOND: Config = {"temperature": 0.9, "words": ["three"], "persona": {"name": "Helper"}}


@pytest.fixture
def agent(alice: Person) -> Agent:
    made = make_agent(alice.tenant, "Helper", config=FIRST)
    return services.update_agent(actor=OPERATOR, agent=made, changes={"config": SECOND})


def test_each_value_names_the_layer_that_it_comes_from(olivia: Operator, agent: Agent) -> None:
    agent.tenant.tenant_config = {"agent_defaults": {"language": "zh"}}
    agent.tenant.save()

    page = olivia.get(url(agent, "config"))

    layers = {leaf.pointer: (leaf.value, leaf.layer) for leaf in page.context_data["leaves"]}
    assert layers["/temperature"] == ("0.9", "agent")
    assert layers["/language"] == ('"zh"', "tenant")
    assert "sk-first" not in page.content.decode()
    assert [version.number for version in page.context_data["versions"]] == [2, 1]


def test_versions_are_compared_value_by_value(olivia: Operator, agent: Agent) -> None:
    differences = olivia.get(url(agent, "comparison", 1, 2)).context_data["differences"]

    assert [tuple(each) for each in differences if not each.pointer.startswith("/words")] == [
        ("/temperature", "0.7", "0.9"),
        ("/persona", None, '{\n  "name": "Helper"\n}'),
    ]
    # Each is what was there after the differences before it.
    assert {each.before for each in differences if each.pointer.startswith("/words")} == {'"one"', '"two"'}


def test_operator_restores_a_version(olivia: Operator, agent: Agent) -> None:
    response = olivia.client.post(url(agent, "restore", 1), follow=True)

    agent.refresh_from_db()
    assert agent.config_version == 3
    assert opened(agent.config) == FIRST
    assert "as in version 1 again; that is version 3" in response.content.decode()
    assert olivia.audit_of("agent.restore").object_id == agent.pk


def test_restore_that_breaks_a_rule_is_refused(olivia: Operator, agent: Agent) -> None:
    """A name that the tenant's defaults have taken since."""
    services.update_agent(actor=OPERATOR, agent=agent, changes={"config": model(api_providers=[])})
    agent.tenant.tenant_config = {"agent_defaults": model(api_providers=[provider("mine", api_key="sk-theirs")])}
    agent.tenant.save()

    response = olivia.client.post(url(agent, "restore", 1), follow=True)

    agent.refresh_from_db()
    assert agent.config_version == 3
    assert "has this name, and a key of its own" in response.content.decode()


def test_restoring_takes_a_post_by_somebody_who_may_change_agents(olivia: Operator, agent: Agent) -> None:
    assert olivia.client.get(url(agent, "restore", 1)).status_code == 405
    assert sign_in("oscar", is_superuser=False).client.post(url(agent, "restore", 1)).status_code == 403
    agent.refresh_from_db()
    assert agent.config_version == 2


def test_version_or_agent_that_is_none_is_not_found(olivia: Operator, agent: Agent) -> None:
    assert olivia.client.get(url(agent, "comparison", 1, 99)).status_code == 404
    assert "has no such version" in olivia.client.post(url(agent, "restore", 99), follow=True).content.decode()
    agent.pk = "agent_000000000000"
    for path in (url(agent, "config"), url(agent, "comparison", 1, 2), url(agent, "restore", 1)):
        assert olivia.client.get(path).status_code == 404


def test_names_in_a_config_are_isolated(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant, "Helper", config={"\u202eeman": "\u202eeulav"})

    page = olivia.get(url(agent, "config")).content.decode()

    assert DisplayName("/\u202eeman").__html__() in page
