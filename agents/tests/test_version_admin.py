"""The versions of agents' configs in the operators' admin."""

from __future__ import annotations

import pytest

from agent_config.secrets import opened
from agents import services
from agents.models import Agent, ConfigVersion
from core.models import AuditEntry
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
    return [row.number for row in response.context["cl"].result_list]  # type: ignore[attr-defined]  # the admin puts it there


def test_an_agents_page_leads_to_its_versions_newest_first(olivia: Operator, agent: Agent, charlie: Person) -> None:
    make_agent(charlie.tenant, "Other")
    link = f"{url(ConfigVersion)}?q={agent.pk}"
    assert f'href="{link}"' in olivia.get(url(agent, "change")).content.decode()

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


def test_an_operator_makes_a_version_the_current_config_again(olivia: Operator, agent: Agent) -> None:
    olivia.act("restore", version(agent, 1))

    agent.refresh_from_db()
    assert agent.config_version == 3
    assert opened(agent.config) == FIRST
    assert version(agent, 3).author == "olivia"
    entry = olivia.audit_of("agent.restore")
    assert (entry.before, entry.after) == (
        {"config_version": 2, "restored": None},
        {"config_version": 3, "restored": 1},
    )


def test_only_one_version_can_be_restored_at_once(olivia: Operator, agent: Agent) -> None:
    before = AuditEntry.objects.count()

    olivia.act("restore", version(agent, 1), version(agent, 2))

    agent.refresh_from_db()
    assert (agent.config_version, AuditEntry.objects.count()) == (2, before)
    assert "Choose one version." in olivia.get(url(ConfigVersion)).content.decode()


def test_restore_that_breaks_a_rule_is_refused(olivia: Operator, agent: Agent) -> None:
    """A name that the tenant's defaults have taken since."""
    services.update_agent(actor=OPERATOR, agent=agent, changes={"config": model(api_providers=[])})
    agent.tenant.tenant_config = {"agent_defaults": model(api_providers=[provider("mine", api_key="sk-theirs")])}
    agent.tenant.save()

    olivia.act("restore", version(agent, 1))

    agent.refresh_from_db()
    assert agent.config_version == 3
    assert "has this name, and a key of its own" in olivia.get(url(ConfigVersion)).content.decode()


def test_operator_with_view_permission_cannot_restore(agent: Agent) -> None:
    oscar = sign_in("oscar", is_superuser=False)
    assert "sk-" not in oscar.get(url(version(agent, 1), "change")).content.decode()

    oscar.act("restore", version(agent, 1))

    agent.refresh_from_db()
    assert agent.config_version == 2


def test_an_agent_is_deleted_with_its_versions(olivia: Operator, agent: Agent) -> None:
    page = olivia.get(url(agent, "delete")).content.decode()
    assert "Config versions: 2" in page
    assert not [secret for secret in SECRETS if secret in page]

    olivia.delete(agent)

    assert not ConfigVersion.unscoped.exists()
