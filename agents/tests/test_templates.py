"""Templates of operators and tenants, their permissions, and the effects of their changes."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import Template
from agents.tests.config_doors import Door, operators_template, shown
from core.models import AuditEntry, Change
from tests.support.client import SurfaceClient
from tests.support.configs import MASK, Config, model, provider, secret_provider
from tests.support.people import Person
from tests.support.tables import tables

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("system_models")]


def read(door: Door, template_id: str) -> dict[str, Any]:
    found: dict[str, Any] = door.data(door.send("GET", f"/templates/{template_id}"))
    return found


def put(door: Door, template_id: str, body: Any, query: str = "") -> Any:
    return door.send("PUT", f"/templates/{template_id}{query}", body)


class TestPermissions:
    def test_tenants_template_is_for_its_members(self, alice: Person, bob: Person, charlie: Person) -> None:
        door = Door("v1", alice.client, alice)
        template = door.make_template({"a": 1})
        before = tables()

        assert read(door.of(bob), template)["config"] == {"a": 1}
        assert template in [row["id"] for row in door.of(bob).rows("/templates")]
        strange = door.of(charlie)
        assert strange.rows("/templates") == []
        assert strange.rows(f"/templates?tenant_id={alice.tenant.id}") == []
        for method, body in (("GET", None), ("PUT", {"config": {"a": 2}}), ("DELETE", None)):
            assert strange.send(method, f"/templates/{template}", body).status_code == 404
        in_hers = strange.send("POST", "/templates", {"name": "mine", "tenant_id": alice.tenant.id})
        assert in_hers.status_code == 404
        assert tables() == before
        assert door.data(put(door.of(bob), template, {"config": {"a": 2}}))["template"]["config"] == {"a": 2}

    def test_operators_template_is_readable_for_everybody(
        self, alice: Person, charlie: Person, internal: SurfaceClient
    ) -> None:
        template = operators_template(internal, {"a": 1})
        before = tables()

        for person in (alice, charlie):
            door = Door("v1", person.client, person)
            assert [row["id"] for row in door.rows("/templates")] == [template]
            assert read(door, template)["tenant_id"] is None
            for method, body in (("PUT", {"config": {"a": 2}}), ("PUT", {"name": "mine"}), ("DELETE", None)):
                door.refused(door.send(method, f"/templates/{template}", body), 403, "FORBIDDEN")
        assert tables() == before

    def test_person_cannot_create_global_templates_or_choose_ids(self, alice: Person) -> None:
        door = Door("v1", alice.client, alice)

        made = door.data(door.send("POST", "/templates", {"name": "mine", "template_id": "chosen"}))

        assert made["tenant_id"] == alice.tenant.id
        assert made["id"] != "chosen"

    def test_only_global_templates_may_have_a_chosen_id(self, alice: Person, internal: SurfaceClient) -> None:
        body = {"name": "mine", "template_id": "chosen", "tenant_id": alice.tenant.id}

        assert internal.send("POST", "/api/v2/templates", body).status_code == 400
        assert not Template.unscoped.exists()

    def test_names_are_unique_in_a_tenant_and_among_the_operators(
        self, alice: Person, charlie: Person, internal: SurfaceClient
    ) -> None:
        doors = [Door("v1", person.client, person) for person in (alice, charlie)]
        for door in doors:
            door.make_template({}, name="Café")
            assert door.send("POST", "/templates", {"name": "CAFE\u0301"}).status_code == 409
        operators_template(internal, {}, name="Café", template_id="chosen")
        for body in ({"name": "café"}, {"name": "other", "template_id": "chosen"}):
            assert internal.send("POST", "/api/v2/templates", body).status_code == 409
        assert Template.unscoped.count() == 3


class TestNaming:
    """An agent refers to its template by id."""

    @pytest.fixture
    def foreign(self, charlie: Person) -> str:
        return Door("v1", charlie.client, charlie).make_template({"a": "Charlie's"})

    def test_template_of_another_tenant_is_refused(self, door: Door, foreign: str) -> None:
        body = {"tenant_id": door.tenant_id, "name": "bot", "template_id": foreign}
        door.refused(door.send("POST", "/agents", body), 400, "AGENT_003", "template_id")
        door.create({"a": 1})
        before = door.state()

        response = door.send("PUT", f"/agents/{door.agent_id}", {"template_id": foreign, "config": {"a": 2}})

        door.refused(response, 400, "AGENT_003", "template_id")
        assert door.state() == before

    def test_template_of_another_tenant_in_old_data_has_no_effect(self, door: Door, foreign: str) -> None:
        door.create()
        row = door.row
        row.template_id = foreign
        row.save(update_fields=["template_id"])

        assert "a" not in door.effective()
        assert [warning["path"] for warning in door.get("/effective")["warnings"]] == ["template_id"]
        door.change(description="still to be changed")

    def test_unknown_template_id_is_kept(self, door: Door, internal: SurfaceClient) -> None:
        door.create(template_id="later")
        assert "a" not in door.effective()

        operators_template(internal, {"a": 1}, template_id="later")

        assert door.row.template_id == "later"
        assert door.effective()["a"] == 1
        assert door.get("/effective")["warnings"] == []

    def test_change_of_the_template_id_changes_the_agent(self, door: Door) -> None:
        template = door.make_template({"a": 1})
        door.create()
        seen = Change.objects.count()

        door.change(template_id=template)
        assert door.effective()["a"] == 1
        door.change(template_id="")
        assert "a" not in door.effective()

        changes = list(Change.objects.order_by("epoch").values_list("kind", "subject"))[seen:]
        assert changes == [("agent", door.agent_id)] * 2
        assert door.numbers() == [1]


class TestChanging:
    def test_change_affects_the_agents_of_the_template_only(self, door: Door) -> None:
        template = door.make_template({"a": 1, "b": 1})
        others = Door(door.version, door.client, door.person).create()
        door.create({"b": 2}, template_id=template)
        tags = door.etag(), others.etag()

        door.data(put(door, template, {"config": {"a": 2, "b": 3, "c": 4}}))

        config = door.effective()
        assert (config["a"], config["b"], config["c"]) == (2, 2, 4)
        assert (door.etag() != tags[0], others.etag() != tags[1]) == (True, False)
        assert door.numbers() == [1]

    def test_config_is_merged_or_replaced(self, door: Door) -> None:
        template = door.make_template({"a": 1, **model(api_providers=[secret_provider()])})

        door.data(put(door, template, {"config": {"b": 2, "a": None}}))
        assert read(door, template)["config"] == {"b": 2, **shown(model(api_providers=[secret_provider()]))}

        masked = model(api_providers=[provider(base_url=MASK, api_key=MASK)])
        door.data(put(door, template, {"config": masked}, "?replace=1"))
        assert read(door, template)["config"] == masked

    @pytest.mark.parametrize("body", [{"name": "renamed"}, {"description": "described"}, {"config": {"a": 1}}])
    def test_unchanged_config_is_not_published(self, door: Door, body: dict[str, Any]) -> None:
        template = door.make_template({"a": 1})
        tag, seen = door.create(template_id=template).etag(), Change.objects.count()

        door.data(put(door, template, body))

        assert door.etag() == tag
        assert Change.objects.count() == seen

    def test_change_is_one_feed_entry_for_all_agents(self, door: Door) -> None:
        template = door.make_template({"a": 1})
        for _ in range(3):
            door.create(template_id=template)
        seen = Change.objects.count()

        door.data(put(door, template, {"config": {"a": 2}}))
        door.data(door.send("DELETE", f"/templates/{template}"))

        assert list(Change.objects.order_by("epoch").values_list("kind", "subject"))[seen:] == [
            ("template", template),
            ("template", template),
        ]

    def test_change_is_in_the_audit_log_without_secrets(self, door: Door) -> None:
        template = door.make_template({"a": 1})

        door.data(put(door, template, {"config": model(api_providers=[secret_provider()])}))

        entry = AuditEntry.objects.get(action="template.update")
        assert (entry.object_id, entry.before) == (template, {"config": {"a": 1}})
        assert entry.after == {"config": {"a": 1, **shown(model(api_providers=[secret_provider()]))}}

    def test_a_new_secret_is_a_change(self, door: Door) -> None:
        template = door.make_template(model(api_providers=[secret_provider()]))
        tag = door.create(template_id=template).etag()

        door.data(put(door, template, {"config": model(api_providers=[provider(api_key="sk-new")])}))

        assert door.etag() != tag
        assert AuditEntry.objects.filter(action="template.update").exists()

    def test_dry_run_counts_agents_and_changes_nothing(self, door: Door) -> None:
        template = door.make_template({"a": 1})
        for _ in range(3):
            door.create(template_id=template)
        door.create()
        before = tables()

        changing = door.data(put(door, template, {"config": {"a": 2}}, "?dry_run=1"))
        deleting = door.data(door.send("DELETE", f"/templates/{template}?dry_run=1"))

        assert (changing["agents"], changing["dry_run"], changing["template"]["config"]) == (3, True, {"a": 1})
        assert deleting == {"id": template, "agents": 3, "dry_run": True}
        assert tables() == before

    def test_dry_run_of_an_operators_template_counts_agents_of_all_tenants(
        self, alice: Person, charlie: Person, internal: SurfaceClient
    ) -> None:
        template = operators_template(internal, {"a": 1})
        doors = [Door("v1", person.client, person).create(template_id=template) for person in (alice, charlie)]

        answer = internal.send("PUT", f"/api/v2/templates/{template}", {"config": {"a": 2}}).json()["data"]

        assert (answer["agents"], answer["dry_run"]) == (2, False)
        assert [door.effective()["a"] for door in doors] == [2, 2]


class TestDeleting:
    def test_agents_of_a_deleted_template_keep_its_id_and_their_config(self, door: Door) -> None:
        template = door.make_template({"a": 1, "b": 1})
        tag = door.create({"b": 2}, template_id=template).etag()

        door.data(door.send("DELETE", f"/templates/{template}"))

        assert door.row.template_id == template
        found = door.get("/effective")
        assert ("a" in found["config"], found["config"]["b"]) == (False, 2)
        assert [warning["path"] for warning in found["warnings"]] == ["template_id"]
        assert door.etag() != tag
        assert door.send("GET", f"/templates/{template}").status_code == 404
        assert AuditEntry.objects.get(action="template.delete").before["config"] == {"a": 1, "b": 1}

    def test_template_is_deleted_with_its_tenant(self, internal: SurfaceClient, alice: Person) -> None:
        door = Door("v2", internal, alice)
        mine, theirs = door.make_template({}), operators_template(internal, {})

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
    def test_tenants_template_follows_the_rules_for_agents(self, door: Door, config: Config, path: str) -> None:
        body = {"name": "bad", "config": config, "tenant_id": door.tenant_id}
        template = door.make_template({"a": 1})
        before = tables()

        door.refused(door.send("POST", "/templates", body), 400, "AGENT_004", path)
        for query in ("", "?replace=1"):
            door.refused(put(door, template, {"name": "new", "config": config}, query), 400, "AGENT_004", path)
        assert tables() == before

    def test_operators_template_may_change_the_systems_items(self, door: Door, internal: SurfaceClient) -> None:
        theirs = model(
            api_providers=[provider("Ünïversal", timeout=5)], models=[{"name": "new", "api_provider": "Ünïversal"}]
        )
        template = operators_template(internal, theirs)

        door.create(template_id=template)

        effective = door.effective()["config_overrides"]["model"]
        assert effective["api_providers"] == [
            {"name": "Ünïversal", "base_url": MASK, "api_key": MASK, "client_type": "openai", "timeout": 5}
        ]
        assert [item["name"] for item in effective["models"]] == ["system-model", "new"]


@pytest.mark.embedded
class TestNamesOfATemplate:
    """Names that a template defines are taken for its agents."""

    THEIRS = model(api_providers=[secret_provider("p")], models=[{"name": "m", "api_provider": "p"}])

    @pytest.fixture(params=["operators'", "tenant's"])
    def template(self, request: pytest.FixtureRequest, door: Door, internal: SurfaceClient) -> str:
        if request.param == "tenant's":
            return door.make_template(self.THEIRS)
        return operators_template(internal, self.THEIRS)

    def test_names_of_the_template_are_taken(self, door: Door, template: str) -> None:
        door.create(template_id=template)
        before = door.state()

        for config, path in (
            (model(api_providers=[provider("P")]), "config_overrides.model.api_providers[0].name"),
            (model(models=[{"name": "M"}]), "config_overrides.model.models[0].name"),
        ):
            door.refused(door.try_put(config), 400, "AGENT_004", path)
        assert door.state() == before

    def test_tasks_may_name_models_of_the_template(self, door: Door, template: str) -> None:
        tasks = model(model_task_config={"replyer": {"model_list": ["m", "system-model"]}})

        assert door.create(template_id=template).put(tasks) == tasks

        assert door.try_put(tasks, HTTP_PREFER="handling=strict")["X-Config-Warnings"] == "0"

        door.change(template_id="")
        path = "config_overrides.model.model_task_config.replyer.model_list[0]"
        assert door.try_put(tasks)["X-Config-Warnings"] == "1"
        assert path in [warning["path"] for warning in door.get("/effective")["warnings"]]
        door.refused(door.try_put(tasks, HTTP_PREFER="handling=strict"), 400, "AGENT_004", path)

    def test_model_may_use_the_provider_of_a_tenants_template_only(
        self, door: Door, template: str, request: pytest.FixtureRequest
    ) -> None:
        door.create(template_id=template)
        response = door.try_put(model(models=[{"name": "mine", "api_provider": "P"}]))

        if Template.unscoped.get().tenant_id is None:
            door.refused(response, 400, "AGENT_004", "config_overrides.model.models[0].api_provider")
        else:
            assert response.status_code == 200
