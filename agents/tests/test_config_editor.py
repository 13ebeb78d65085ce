"""The editor of configs in the admin: its script and its list of fields, and the text area without scripts."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.staticfiles import finders

from agents.models import Agent, Template
from tenants import services as tenants
from tests.support.operators import Operator, form_of, sign_in, url
from tests.support.people import OPERATOR, Person, make_agent

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

FIELDS = "/admin/agents/agent/config-fields/{}/"
MAX_BYTES = 400_000


def test_form_has_the_editor_and_a_text_area_without_scripts(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant, config={"persona": "kind"})

    response = olivia.get(url(agent, "change"))

    page = response.content.decode()
    assert "maim/json-editor" in page
    assert "data-json-editor" in page
    assert f'data-fields="{FIELDS.format("maibot-0.12")}"' in page
    assert '"persona": "kind"' in form_of(response)["config"][0]


def test_fields_are_those_of_the_schema_that_is_in_force(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant)
    tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"config_schema": "maibot-1.2"})

    assert FIELDS.format("maibot-1.2") in olivia.get(url(agent, "change")).content.decode()
    for model in (Agent, Template):
        assert FIELDS.format("maibot-0.12") in olivia.get(url(model, "add")).content.decode()


def test_list_of_fields_names_types_and_meanings() -> None:
    oscar = sign_in("oscar", is_superuser=False)

    fields = {each["path"]: each for each in oscar.get(FIELDS.format("maibot-0.12")).json()["fields"]}

    assert fields["persona"]["type"] == "string | object"
    assert fields["config_overrides.chat.talk_value"]["type"] == "number"
    assert fields["config_overrides.chat.talk_value"]["title"] != ""
    assert "config_overrides.model.models[].name" in fields


def test_list_of_fields_is_in_the_operators_language(olivia: Operator) -> None:
    response = olivia.client.get(FIELDS.format("maibot-0.12"), HTTP_ACCEPT_LANGUAGE="zh-CN")

    assert response.json()["fields"][0]["title"] == "人设"


def test_unknown_schema_is_not_found(olivia: Operator) -> None:
    assert olivia.client.get(FIELDS.format("nonsense")).status_code == 404


def test_script_is_small_and_comes_with_its_license() -> None:
    script, license_of_it = (finders.find(f"maim/json-editor.{end}") for end in ("js", "LICENSE.txt"))

    assert script is not None
    text = Path(script).read_text()
    assert len(text.encode()) < MAX_BYTES
    assert "eval(" not in text
    assert license_of_it is not None
