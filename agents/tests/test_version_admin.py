"""The versions of agents' configs in the operators' admin."""

from __future__ import annotations

import pytest

from agents import services
from agents.models import Agent, ConfigVersion
from tests.support.configs import Config, model, provider
from tests.support.operators import Operator, sign_in, url
from tests.support.people import OPERATOR, Person, make_agent

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
SECRETS = ("sk-first", "sk-second", "first.example", "second.example", "$sealed")
FIRST: Config = {
    "temperature": 0.7,
    **model(api_providers=[provider(api_key="sk-first", base_url="https://first.example")]),
}


@pytest.fixture
def agent(alice: Person) -> Agent:
    """An agent whose config changed once, in its provider and in an unknown key."""
    made = make_agent(alice.tenant, "Helper", config=FIRST)
    second = model(api_providers=[provider(api_key="sk-second", base_url="https://second.example")])
    return services.update_agent(actor=OPERATOR, agent=made, changes={"config": {"temperature": 0.9, **second}})


def version(agent: Agent, number: int) -> ConfigVersion:
    return ConfigVersion.unscoped.get(agent=agent, number=number)


def numbers_in(response: object) -> list[int]:
    return [row.number for row in response.context_data["cl"].result_list]  # type: ignore[attr-defined]  # the admin puts it there


def test_list_has_an_agents_versions_newest_first(olivia: Operator, agent: Agent, charlie: Person) -> None:
    make_agent(charlie.tenant, "Other")

    assert numbers_in(olivia.get(url(ConfigVersion), q=agent.pk)) == [2, 1]


def test_a_version_says_who_what_and_when_without_a_secret(olivia: Operator, agent: Agent) -> None:
    page = olivia.get(url(version(agent, 2), "change")).content.decode()

    assert "/temperature" in page  # where the patch points to
    assert "temperature&quot;: 0.9" in page
    assert "tests" in page  # the author
    assert "********" in page
    assert not [secret for secret in SECRETS if secret in page]
    assert "<textarea" not in page


def test_nobody_adds_changes_or_deletes_a_version(olivia: Operator, agent: Agent) -> None:
    first = version(agent, 1)

    assert olivia.client.get(url(ConfigVersion, "add")).status_code == 403
    assert olivia.client.post(url(first, "change"), {"note": "another"}).status_code == 403
    assert olivia.client.post(url(first, "delete"), {"post": "yes"}).status_code == 403
    assert version(agent, 1).note is None


def test_operator_with_view_permission_reads_no_secret(agent: Agent) -> None:
    oscar = sign_in("oscar", is_superuser=False)

    assert "sk-" not in oscar.get(url(version(agent, 1), "change")).content.decode()


def test_an_agent_is_deleted_with_its_versions(olivia: Operator, agent: Agent) -> None:
    page = olivia.get(url(agent, "delete")).content.decode()
    assert "Agents: 1" in page
    assert not [secret for secret in SECRETS if secret in page]

    olivia.delete(agent)

    assert not ConfigVersion.unscoped.exists()
