"""Templates in the operators' admin."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_config.secrets import opened
from agents.effective_config import get_state
from agents.models import Template
from agents.services import templates
from core.models import AuditEntry
from tests.support.configs import MASK, Config, model, provider
from tests.support.operators import Operator, errors_of, form_of, sign_in, url
from tests.support.people import OPERATOR, Person, make_agent

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
SECRET, ADDRESS = "sk-very-secret", "https://llm.example.org"


def with_provider(**fields: Any) -> Config:
    return model(api_providers=[provider(**{"base_url": ADDRESS, "api_key": SECRET, **fields})])


@pytest.fixture
def template(db: None) -> Template:
    """A template of the operators'."""
    return templates.create_template(
        actor=OPERATOR, tenant=None, name="Support", config={"temperature": 0.7, **with_provider()}
    )


def test_an_operator_adds_a_template_for_everybody_under_an_id_that_agents_already_name(
    olivia: Operator, alice: Person
) -> None:
    agent = make_agent(alice.tenant, template_id="support")

    response = olivia.add(Template, template_id="support", name="Support", config=json.dumps(with_provider()))

    template = Template.unscoped.get()
    assert response["Location"] == url(Template)
    assert (template.pk, template.tenant_id, opened(template.config)) == ("support", None, with_provider())
    assert get_state(agent.pk).template_epoch == template.config_epoch
    entry = olivia.audit_of("template.create")
    assert (entry.object_id, entry.tenant_id) == ("support", None)
    assert SECRET not in str(entry.after)


def test_an_operator_adds_a_tenants_template(olivia: Operator, alice: Person) -> None:
    olivia.add(Template, tenant=alice.tenant.pk, name="Ours")

    template = Template.unscoped.get()
    assert (template.tenant_id, template.config) == (alice.tenant.pk, {})
    assert template.pk.startswith("template_")
    assert olivia.audit_of("template.create").tenant_id == alice.tenant.pk


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"name": ""}, {"name": ["This field is required."]}),
        ({"name": "SUPPORT"}, {"__all__": ["A template of this name, or with this id, already exists"]}),
        ({"template_id": "x" * 51}, {"template_id": ["Ensure this value has at most 50 characters (it has 51)."]}),
        ({"config": '{"persona": 5}'}, {"__all__": ["persona: must be an object or a text"]}),
        ({"config": "[]"}, {"config": ["Must be an object."]}),
    ],
)
def test_invalid_new_template_is_refused(
    olivia: Operator, template: Template, fields: dict[str, str], errors: dict[str, list[str]]
) -> None:
    before = AuditEntry.objects.count()

    response = olivia.add(Template, **{"name": "Sales", **fields})

    assert errors_of(response) == errors
    assert (Template.unscoped.count(), AuditEntry.objects.count()) == (1, before)


def test_an_id_that_is_taken_is_refused(olivia: Operator, template: Template) -> None:
    response = olivia.add(Template, name="Sales", template_id=template.pk)

    assert errors_of(response) == {"__all__": ["A template of this name, or with this id, already exists"]}
    assert Template.unscoped.get().name == "Support"


@pytest.mark.parametrize("template_id", ["a/b", ".", ".."])
def test_an_id_that_would_be_another_address_is_refused(olivia: Operator, template_id: str) -> None:
    response = olivia.add(Template, name="Sales", template_id=template_id)

    assert list(errors_of(response)) == ["template_id"]
    assert not Template.unscoped.exists()


def test_a_tenants_template_has_no_chosen_id(olivia: Operator, alice: Person) -> None:
    response = olivia.add(Template, tenant=alice.tenant.pk, name="Ours", template_id="ours")

    assert errors_of(response) == {"template_id": ["Only a template for everybody may have an id of your choice"]}


def test_the_page_says_how_many_agents_a_change_would_change(
    olivia: Operator, template: Template, alice: Person, charlie: Person
) -> None:
    for person in (alice, charlie):
        make_agent(person.tenant, template_id=template.pk)
    make_agent(alice.tenant, template_id="another")
    ours = templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="Ours")
    make_agent(alice.tenant, template_id=ours.pk)

    def followers(row: Template) -> str:
        page = olivia.get(url(row, "change")).content.decode()
        _, _, rest = page.partition("Agents that use it")
        shown: str = rest.partition('class="readonly')[2].partition(">")[2].partition("<")[0]
        return shown

    assert (followers(template), followers(ours)) == ("2", "1")


def test_the_config_is_shown_masked(olivia: Operator, template: Template) -> None:
    response = olivia.get(url(template, "change"))

    assert SECRET not in response.content.decode()
    assert ADDRESS not in response.content.decode()
    assert json.loads(form_of(response)["config"][0]) == {
        "temperature": 0.7,
        **with_provider(api_key=MASK, base_url=MASK),
    }


def test_saving_a_form_unchanged_changes_nothing(olivia: Operator, template: Template) -> None:
    before = AuditEntry.objects.count()

    assert olivia.change(template).status_code == 302

    after = Template.unscoped.get()
    assert (after.config, after.config_epoch) == (template.config, template.config_epoch)
    assert AuditEntry.objects.count() == before


def test_an_operator_changes_a_template_and_a_mask_keeps_its_secret(olivia: Operator, template: Template) -> None:
    sent = {"temperature": None, "custom": [1], **with_provider(api_key=MASK, base_url=MASK, max_retry=2)}

    olivia.change(template, name="Help", config=json.dumps(sent))

    after = Template.unscoped.get()
    assert (after.name, opened(after.config)) == ("Help", {"custom": [1], **with_provider(max_retry=2)})
    assert after.revision > template.revision
    entry = olivia.audit_of("template.update")
    assert entry.before["name"] == "Support"
    assert SECRET not in f"{entry.before} {entry.after}"


def test_a_config_that_the_rules_refuse_is_shown_again(olivia: Operator, template: Template) -> None:
    sent = '{"bot_overrides": []}'

    response = olivia.change(template, config=sent, name="Help")

    assert errors_of(response) == {"__all__": ["bot_overrides: must be an object"]}
    assert form_of(response)["config"] == [sent]
    assert Template.unscoped.get().name == "Support"


def test_operator_with_view_permission_sees_the_config_masked(template: Template) -> None:
    oscar = sign_in("oscar", is_superuser=False)

    page = oscar.get(url(template, "change")).content.decode()

    assert "temperature&quot;: 0.7" in page
    assert SECRET not in page
    assert "<textarea" not in page
    assert oscar.client.post(url(template, "change"), {"name": "Help"}).status_code == 403


def test_templates_are_found_by_name_and_tenant(olivia: Operator, template: Template, alice: Person) -> None:
    templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="Ours")

    def found(**query: str) -> list[str]:
        return sorted(row.name for row in olivia.get(url(Template), **query).context_data["cl"].result_list)

    assert found() == ["Ours", "Support"]
    assert found(q="SUPP") == ["Support"]
    assert found(q=alice.tenant.pk) == ["Ours"]
    assert olivia.client.get(url(Template), {"config__contains": "s"}).status_code == 400


def test_a_deleted_template_leaves_its_agents_as_they_are(olivia: Operator, template: Template, alice: Person) -> None:
    agent = make_agent(alice.tenant, template_id=template.pk)
    assert SECRET not in olivia.get(url(template, "delete")).content.decode()

    assert olivia.delete(template)["Location"] == url(Template)

    agent.refresh_from_db()
    assert agent.template_id == template.pk
    assert not Template.unscoped.exists()
    assert olivia.audit_of("template.delete").before["name"] == "Support"
