"""Templates of operators and tenants, their permissions, and the effects of their changes."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import Template
from agents.tests.api import AgentApi, operators_template, shown
from core.models import AuditEntry, FeedEntry
from tests.support.client import SurfaceClient
from tests.support.configs import MASK, Config, model, provider, secret_provider
from tests.support.people import Person
from tests.support.tables import tables

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("system_models")]


def read(api: AgentApi, template_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.data(api.send("GET", f"/templates/{template_id}"))
    return found


def put(api: AgentApi, template_id: str, body: Any, query: str = "") -> Any:
    return api.send("PUT", f"/templates/{template_id}{query}", body)


class TestPermissions:
    def test_tenants_template_is_for_its_members(self, alice: Person, bob: Person, charlie: Person) -> None:
        api = AgentApi("v1", alice)
        template = api.make_template({"a": 1})
        before = tables()

        assert read(api.for_person(bob), template)["config"] == {"a": 1}
        assert template in [row["id"] for row in api.for_person(bob).items("/templates")]
        strange = api.for_person(charlie)
        assert strange.items("/templates") == []
        assert strange.items(f"/templates?tenant_id={alice.tenant.id}") == []
        for method, body in (("GET", None), ("PUT", {"config": {"a": 2}}), ("DELETE", None)):
            assert strange.send(method, f"/templates/{template}", body).status_code == 404
        in_hers = strange.send("POST", "/templates", {"name": "mine", "tenant_id": alice.tenant.id})
        assert in_hers.status_code == 404
        assert tables() == before
        assert api.data(put(api.for_person(bob), template, {"config": {"a": 2}}))["template"]["config"] == {"a": 2}

    def test_operators_template_is_readable_for_everybody(
        self, alice: Person, charlie: Person, internal: SurfaceClient
    ) -> None:
        template = operators_template(internal, {"a": 1})
        before = tables()

        for person in (alice, charlie):
            api = AgentApi("v1", person)
            assert [row["id"] for row in api.items("/templates")] == [template]
            assert read(api, template)["tenant_id"] is None
            for method, body in (("PUT", {"config": {"a": 2}}), ("PUT", {"name": "mine"}), ("DELETE", None)):
                api.assert_error(api.send(method, f"/templates/{template}", body), 403, "FORBIDDEN")
        assert tables() == before

    def test_person_cannot_create_global_templates_or_choose_ids(self, alice: Person) -> None:
        api = AgentApi("v1", alice)

        made = api.data(api.send("POST", "/templates", {"name": "mine", "template_id": "chosen"}))

        assert made["tenant_id"] == alice.tenant.id
        assert made["id"] != "chosen"

    def test_only_global_templates_may_have_a_chosen_id(self, alice: Person, internal: SurfaceClient) -> None:
        body = {"name": "mine", "template_id": "chosen", "tenant_id": alice.tenant.id}

        assert internal.send("POST", "/api/v2/templates", body).status_code == 400
        assert not Template.unscoped.exists()

    def test_names_are_unique_in_a_tenant_and_among_the_operators(
        self, alice: Person, charlie: Person, internal: SurfaceClient
    ) -> None:
        apis = [AgentApi("v1", person) for person in (alice, charlie)]
        for api in apis:
            api.make_template({}, name="Café")
            assert api.send("POST", "/templates", {"name": "CAFE\u0301"}).status_code == 409
        operators_template(internal, {}, name="Café", template_id="chosen")
        for body in ({"name": "café"}, {"name": "other", "template_id": "chosen"}):
            assert internal.send("POST", "/api/v2/templates", body).status_code == 409
        assert Template.unscoped.count() == 3


class TestNaming:
    """An agent refers to its template by id."""

    @pytest.fixture
    def foreign(self, charlie: Person) -> str:
        return AgentApi("v1", charlie).make_template({"a": "Charlie's"})

    def test_template_of_another_tenant_is_refused(self, api: AgentApi, foreign: str) -> None:
        body = {"tenant_id": api.tenant_id, "name": "bot", "template_id": foreign}
        api.assert_error(api.send("POST", "/agents", body), 400, "AGENT_003", "template_id")
        api.create({"a": 1})
        before = api.state()

        response = api.send("PUT", f"/agents/{api.agent_id}", {"template_id": foreign, "config": {"a": 2}})

        api.assert_error(response, 400, "AGENT_003", "template_id")
        assert api.state() == before

    def test_template_of_another_tenant_in_old_data_has_no_effect(self, api: AgentApi, foreign: str) -> None:
        api.create()
        row = api.row
        row.template_id = foreign
        row.save(update_fields=["template_id"])

        assert "a" not in api.effective()
        assert [warning["path"] for warning in api.get("/effective")["warnings"]] == ["template_id"]
        api.change(description="still to be changed")

    def test_unknown_template_id_is_kept(self, api: AgentApi, internal: SurfaceClient) -> None:
        api.create(template_id="later")
        assert "a" not in api.effective()

        operators_template(internal, {"a": 1}, template_id="later")

        assert api.row.template_id == "later"
        assert api.effective()["a"] == 1
        assert api.get("/effective")["warnings"] == []

    def test_change_of_the_template_id_changes_the_agent(self, api: AgentApi) -> None:
        template = api.make_template({"a": 1})
        api.create()
        seen = FeedEntry.objects.count()

        api.change(template_id=template)
        assert api.effective()["a"] == 1
        api.change(template_id="")
        assert "a" not in api.effective()

        changes = list(FeedEntry.objects.order_by("epoch").values_list("kind", "subject"))[seen:]
        assert changes == [("agent", api.agent_id)] * 2
        assert api.numbers() == [1]


class TestChanging:
    def test_change_affects_the_agents_of_the_template_only(self, api: AgentApi) -> None:
        template = api.make_template({"a": 1, "b": 1})
        others = api.for_person(api.person).create()
        api.create({"b": 2}, template_id=template)
        tags = api.etag(), others.etag()

        api.data(put(api, template, {"config": {"a": 2, "b": 3, "c": 4}}))

        config = api.effective()
        assert (config["a"], config["b"], config["c"]) == (2, 2, 4)
        assert (api.etag() != tags[0], others.etag() != tags[1]) == (True, False)
        assert api.numbers() == [1]

    def test_config_is_merged_or_replaced(self, api: AgentApi) -> None:
        template = api.make_template({"a": 1, **model(api_providers=[secret_provider()])})

        api.data(put(api, template, {"config": {"b": 2, "a": None}}))
        assert read(api, template)["config"] == {"b": 2, **shown(model(api_providers=[secret_provider()]))}

        masked = model(api_providers=[provider(base_url=MASK, api_key=MASK)])
        api.data(put(api, template, {"config": masked}, "?replace=1"))
        assert read(api, template)["config"] == masked

    @pytest.mark.parametrize("body", [{"name": "renamed"}, {"description": "described"}, {"config": {"a": 1}}])
    def test_unchanged_config_is_not_published(self, api: AgentApi, body: dict[str, Any]) -> None:
        template = api.make_template({"a": 1})
        tag, seen = api.create(template_id=template).etag(), FeedEntry.objects.count()

        api.data(put(api, template, body))

        assert api.etag() == tag
        assert FeedEntry.objects.count() == seen

    def test_change_is_one_feed_entry_for_all_agents(self, api: AgentApi) -> None:
        template = api.make_template({"a": 1})
        for _ in range(3):
            api.create(template_id=template)
        seen = FeedEntry.objects.count()

        api.data(put(api, template, {"config": {"a": 2}}))
        api.data(api.send("DELETE", f"/templates/{template}"))

        assert list(FeedEntry.objects.order_by("epoch").values_list("kind", "subject"))[seen:] == [
            ("template", template),
            ("template", template),
        ]

    def test_change_is_in_the_audit_log_without_secrets(self, api: AgentApi) -> None:
        template = api.make_template({"a": 1})

        api.data(put(api, template, {"config": model(api_providers=[secret_provider()])}))

        entry = AuditEntry.objects.get(action="template.update")
        assert (entry.object_id, entry.before) == (template, {"config": {"a": 1}})
        assert entry.after == {"config": {"a": 1, **shown(model(api_providers=[secret_provider()]))}}

    def test_a_new_secret_is_a_change(self, api: AgentApi) -> None:
        template = api.make_template(model(api_providers=[secret_provider()]))
        tag = api.create(template_id=template).etag()

        api.data(put(api, template, {"config": model(api_providers=[provider(api_key="sk-new")])}))

        assert api.etag() != tag
        assert AuditEntry.objects.filter(action="template.update").exists()

    def test_dry_run_counts_agents_and_changes_nothing(self, api: AgentApi) -> None:
        template = api.make_template({"a": 1})
        for _ in range(3):
            api.create(template_id=template)
        api.create()
        before = tables()

        changing = api.data(put(api, template, {"config": {"a": 2}}, "?dry_run=1"))
        deleting = api.data(api.send("DELETE", f"/templates/{template}?dry_run=1"))

        assert (changing["agents"], changing["dry_run"], changing["template"]["config"]) == (3, True, {"a": 1})
        assert deleting == {"id": template, "agents": 3, "dry_run": True}
        assert tables() == before

    def test_dry_run_of_an_operators_template_counts_agents_of_all_tenants(
        self, alice: Person, charlie: Person, internal: SurfaceClient
    ) -> None:
        template = operators_template(internal, {"a": 1})
        apis = [AgentApi("v1", person).create(template_id=template) for person in (alice, charlie)]

        answer = internal.send("PUT", f"/api/v2/templates/{template}", {"config": {"a": 2}}).json()["data"]

        assert (answer["agents"], answer["dry_run"]) == (2, False)
        assert [api.effective()["a"] for api in apis] == [2, 2]


class TestDeleting:
    def test_agents_of_a_deleted_template_keep_its_id_and_their_config(self, api: AgentApi) -> None:
        template = api.make_template({"a": 1, "b": 1})
        tag = api.create({"b": 2}, template_id=template).etag()

        api.data(api.send("DELETE", f"/templates/{template}"))

        assert api.row.template_id == template
        found = api.get("/effective")
        assert ("a" in found["config"], found["config"]["b"]) == (False, 2)
        assert [warning["path"] for warning in found["warnings"]] == ["template_id"]
        assert api.etag() != tag
        assert api.send("GET", f"/templates/{template}").status_code == 404
        assert AuditEntry.objects.get(action="template.delete").before["config"] == {"a": 1, "b": 1}

    def test_template_is_deleted_with_its_tenant(self, internal: SurfaceClient, alice: Person) -> None:
        api = AgentApi("v2", alice)
        mine, theirs = api.make_template({}), operators_template(internal, {})

        assert internal.delete(f"/api/v2/tenants/{alice.tenant.id}").status_code == 200

        assert internal.get(f"/api/v2/templates/{mine}").status_code == 404
        assert internal.get(f"/api/v2/templates/{theirs}").status_code == 200


@pytest.mark.embedded
class TestRefusals:
    @pytest.mark.parametrize(
        ("config", "path"),
        [
            ({"persona": 5}, "persona"),
            (model(api_providers=[provider("ÜNÏVERSAL")]), "config_overrides.model.api_providers[0].name"),
            (model(models=[{"name": "SYSTEM-model"}]), "config_overrides.model.models[0].name"),
            (
                model(models=[{"name": "mine", "provider_name": "ünïversal"}]),
                "config_overrides.model.models[0].provider_name",
            ),
            (model(api_providers=[provider(api_key=MASK)]), "config_overrides.model.api_providers[0].api_key"),
            ({"a": "x" * (256 * 1024)}, "config"),
            ({"a": [0] * 5001}, "config"),
        ],
    )
    def test_tenants_template_follows_the_rules_for_agents(self, api: AgentApi, config: Config, path: str) -> None:
        body = {"name": "bad", "config": config, "tenant_id": api.tenant_id}
        template = api.make_template({"a": 1})
        before = tables()

        api.assert_error(api.send("POST", "/templates", body), 400, "AGENT_004", path)
        for query in ("", "?replace=1"):
            api.assert_error(put(api, template, {"name": "new", "config": config}, query), 400, "AGENT_004", path)
        assert tables() == before

    def test_operators_template_may_change_the_systems_items(self, api: AgentApi, internal: SurfaceClient) -> None:
        theirs = model(
            api_providers=[provider("Ünïversal", timeout=5)], models=[{"name": "new", "api_provider": "Ünïversal"}]
        )
        template = operators_template(internal, theirs)

        api.create(template_id=template)

        effective = api.effective()["config_overrides"]["model"]
        assert effective["api_providers"] == [
            {"name": "Ünïversal", "base_url": MASK, "api_key": MASK, "client_type": "openai", "timeout": 5}
        ]
        assert [item["name"] for item in effective["models"]] == ["system-model", "new"]


@pytest.mark.embedded
class TestNamesOfATemplate:
    """Names that a template defines are taken for its agents."""

    THEIRS = model(api_providers=[secret_provider("p")], models=[{"name": "m", "api_provider": "p"}])

    @pytest.fixture(params=["operators'", "tenant's"])
    def template(self, request: pytest.FixtureRequest, api: AgentApi, internal: SurfaceClient) -> str:
        if request.param == "tenant's":
            return api.make_template(self.THEIRS)
        return operators_template(internal, self.THEIRS)

    def test_names_of_the_template_are_taken(self, api: AgentApi, template: str) -> None:
        api.create(template_id=template)
        before = api.state()

        for config, path in (
            (model(api_providers=[provider("P")]), "config_overrides.model.api_providers[0].name"),
            (model(models=[{"name": "M"}]), "config_overrides.model.models[0].name"),
        ):
            api.assert_error(api.try_put(config), 400, "AGENT_004", path)
        assert api.state() == before

    def test_tasks_may_name_models_of_the_template(self, api: AgentApi, template: str) -> None:
        tasks = model(model_task_config={"replyer": {"model_list": ["m", "system-model"]}})

        assert api.create(template_id=template).put(tasks) == tasks

        assert api.try_put(tasks, HTTP_PREFER="handling=strict")["X-Config-Warnings"] == "0"

        api.change(template_id="")
        path = "config_overrides.model.model_task_config.replyer.model_list[0]"
        assert api.try_put(tasks)["X-Config-Warnings"] == "1"
        assert path in [warning["path"] for warning in api.get("/effective")["warnings"]]
        api.assert_error(api.try_put(tasks, HTTP_PREFER="handling=strict"), 400, "AGENT_004", path)

    def test_model_may_use_the_provider_of_a_tenants_template_only(
        self, api: AgentApi, template: str, request: pytest.FixtureRequest
    ) -> None:
        api.create(template_id=template)
        response = api.try_put(model(models=[{"name": "mine", "api_provider": "P"}]))

        if Template.unscoped.get().tenant_id is None:
            api.assert_error(response, 400, "AGENT_004", "config_overrides.model.models[0].api_provider")
        else:
            assert response.status_code == 200
