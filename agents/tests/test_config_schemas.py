"""The schema by which an agent's config is checked: the agent's, the tenant's, the default one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_config.secrets import masked
from agents.tests.api import AgentApi
from core.models import AuditEntry, FeedEntry
from tests.support.api import VERSIONS
from tests.support.configs import Config
from tests.support.maibot_1_2 import document
from tests.support.people import Person

pytestmark = [pytest.mark.django_db, pytest.mark.embedded, pytest.mark.usefixtures("system_models")]

OLD, NEW = "maibot-0.12", "maibot-1.2"
# Valid for 0.12, which does not know the field, and wrong for 1.2.
WRONG_FOR_NEW: Config = {"config_overrides": {"visual": {"planner_mode": 5}}}
# Wrong for 0.12, and valid for 1.2, which does not know the field.
WRONG_FOR_OLD: Config = {"config_overrides": {"mood": {"enable_mood": "often"}}}


@pytest.fixture(params=VERSIONS)
def api(request: pytest.FixtureRequest, alice: Person) -> AgentApi:
    return AgentApi(request.param, alice)


def set_of_tenant(api: AgentApi, name: str) -> Any:
    return api.data(api.send("PUT", f"/tenants/{api.tenant_id}", {"config_schema": name}))


@pytest.fixture
def tenant(api: AgentApi) -> AgentApi:
    """The same API for the tenant, whose paths have the envelope in v1, too."""
    found = AgentApi(api.version, api.person)
    found.is_enveloped = True
    return found


class TestChoice:
    def test_agent_without_a_schema_is_checked_by_the_default_one(self, api: AgentApi) -> None:
        api.create(WRONG_FOR_NEW)

        api.assert_error(api.try_put(WRONG_FOR_OLD), 400, "AGENT_004", "config_overrides.mood.enable_mood")
        assert api.data(api.send("GET", f"/agents/{api.agent_id}"))["config_schema"] is None

    def test_agents_schema_wins_over_its_tenants(self, api: AgentApi, tenant: AgentApi) -> None:
        assert set_of_tenant(tenant, NEW)["config_schema"] == NEW
        api.create(WRONG_FOR_OLD)
        api.assert_error(api.try_put(WRONG_FOR_NEW), 400, "AGENT_004", "config_overrides.visual.planner_mode")

        api.change(config_schema=OLD)
        api.put(WRONG_FOR_NEW)
        api.change(config_schema="")
        api.assert_error(
            api.try_put({"config_overrides": {"visual": {"replyer_mode": 5}}}),
            400,
            "AGENT_004",
            "config_overrides.visual.replyer_mode",
        )

    def test_schema_and_config_may_change_in_one_request(self, api: AgentApi) -> None:
        api.create()

        api.change(config_schema=NEW, config=WRONG_FOR_OLD)

        assert api.stored() == WRONG_FOR_OLD

    def test_stored_config_is_warned_of_and_not_refused_under_another_schema(self, api: AgentApi) -> None:
        api.create(WRONG_FOR_NEW)

        api.change(config_schema=NEW)

        agent = api.data(api.send("GET", f"/agents/{api.agent_id}"))
        assert [warning["path"] for warning in agent["config_warnings"]] == ["config_overrides.visual.planner_mode"]
        assert [warning["path"] for warning in api.get("/effective")["warnings"]] == [
            "config_overrides.visual.planner_mode"
        ]
        api.put(WRONG_FOR_NEW)

    @pytest.mark.parametrize("name", ["maibot-9", "MAIBOT-1.2", 5])
    def test_unknown_schema_is_refused(self, api: AgentApi, tenant: AgentApi, name: Any) -> None:
        api.create()

        response = api.send("PUT", f"/agents/{api.agent_id}", {"config_schema": name})
        api.assert_error(response, 400, "VALIDATION_ERROR", "config_schema")
        response = tenant.send("PUT", f"/tenants/{api.tenant_id}", {"config_schema": name})
        tenant.assert_error(response, 400, "VALIDATION_ERROR", "config_schema")

    def test_tenants_schema_checks_its_defaults_and_templates(self, api: AgentApi, tenant: AgentApi) -> None:
        wrong = {"config_schema": NEW, "tenant_config": {"agent_defaults": WRONG_FOR_NEW}}
        tenant.assert_error(
            tenant.send("PUT", f"/tenants/{api.tenant_id}", wrong),
            400,
            "AGENT_004",
            "tenant_config.agent_defaults.config_overrides.visual.planner_mode",
        )
        set_of_tenant(tenant, NEW)
        body = {"name": "t", "tenant_id": api.tenant_id, "config": WRONG_FOR_NEW}
        api.assert_error(api.send("POST", "/templates", body), 400, "AGENT_004", "config_overrides.visual.planner_mode")
        template = api.make_template(WRONG_FOR_OLD)
        assert api.data(api.send("GET", f"/templates/{template}"))["config_warnings"] == []


class TestChange:
    def test_change_of_a_schema_is_audited_and_in_the_feed(self, api: AgentApi, tenant: AgentApi) -> None:
        api.create()
        etag, entries = api.etag(), FeedEntry.objects.count()

        api.change(config_schema=NEW)
        assert api.etag() != etag
        row = AuditEntry.objects.filter(action="agent.update").latest("pk")
        assert (row.before, row.after) == ({"config_schema": None}, {"config_schema": NEW})
        assert FeedEntry.objects.count() == entries + 1

        etag = api.create().etag()
        entries = FeedEntry.objects.count()
        set_of_tenant(tenant, NEW)
        assert api.etag() != etag
        assert FeedEntry.objects.count() == entries + 1

    def test_lowest_layer_is_that_of_the_schema(self, api: AgentApi) -> None:
        assert api.create().effective()["config_overrides"]["chat"]["talk_value"] == 1

        api.change(config_schema=NEW)

        chat = api.effective()["config_overrides"]["chat"]
        assert ("talk_value" in chat, chat["reply_timing"]["talk_value"]) == (False, 1)

    def test_duplicate_and_export_keep_the_schema(self, api: AgentApi) -> None:
        api.create(config_schema=NEW)
        path = f"/agents/{api.agent_id}"

        assert api.data(api.send("POST", f"{path}/duplicate", {}))["config_schema"] == NEW
        exported = api.send("GET", f"{path}/export").json()
        assert exported["config_schema"] == NEW
        imported = api.send("POST", f"/agents/import?tenant_id={api.tenant_id}", {**exported, "name": "again"})
        assert api.data(imported)["agent"]["config_schema"] == NEW


def test_document_of_every_field_of_1_2_makes_the_round(api: AgentApi, tenant: AgentApi) -> None:
    """Given a tenant of 1.2, when all fields go through PUT, template, effective and export, then all come back."""
    set_of_tenant(tenant, NEW)
    api.create().put(document())
    assert api.stored() == document()
    assert api.data(api.send("GET", f"/agents/{api.agent_id}"))["config_warnings"] == []
    exported = api.send("GET", f"/agents/{api.agent_id}/export").json()
    assert contains(document(), exported["config"])

    template = api.make_template(document())
    assert api.data(api.send("GET", f"/templates/{template}"))["config_warnings"] == []

    api.create(template_id=template)
    effective = api.get("/effective")
    assert effective["warnings"] == []
    assert contains(effective["config"], masked(document()))


def test_json_schema_of_each_version_is_served(api: AgentApi) -> None:
    def schema(query: str) -> Any:
        return api.data(api.send("GET", f"/system/config-schema{query}"))["$defs"]

    older, newer = schema(""), schema(f"?version={NEW}")

    assert schema(f"?version={OLD}") == older != newer
    api.assert_error(api.send("GET", "/system/config-schema?version=9"), 400, "VALIDATION_ERROR", "version")


def contains(whole: Any, part: Any) -> bool:
    """Return whether an object has all members of another, at any depth; named items are found by their names."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contains(whole[key], part[key]) for key in part)
    if isinstance(part, list) and part and isinstance(part[0], dict) and "name" in part[0]:
        named = {item["name"]: item for item in whole}
        return all(contains(named.get(item["name"]), item) for item in part)
    return json.dumps(whole, sort_keys=True) == json.dumps(part, sort_keys=True)
