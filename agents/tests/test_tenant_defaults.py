"""`tenant_config.agent_defaults`, a tenant's config for all its agents, validated, masked and sealed like theirs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from agent_config.secrets import opened
from agents.tests.api import AgentApi, shown
from core.models import AuditEntry, FeedEntry
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.config_strategies import configs
from tests.support.configs import MASK, Config, model, provider, secret_provider
from tests.support.examples import examples
from tests.support.people import Person
from tests.support.tables import tables

pytestmark = [pytest.mark.embedded, pytest.mark.django_db, pytest.mark.usefixtures("system_models")]
PATH = "tenant_config.agent_defaults"
SECRET_CONFIG = model(api_providers=[secret_provider()])


def put(api: AgentApi, tenant_config: Any) -> Any:
    return api.send("PUT", f"/tenants/{api.tenant_id}", {"tenant_config": tenant_config})


def data(response: Any) -> Any:
    """Return the data of a response about a tenant, which has v2's envelope on both surfaces."""
    assert response.status_code == 200, response.content
    return response.json()["data"]


def stored(api: AgentApi) -> Config:
    """Return the stored defaults with their secrets in clear."""
    return opened(Tenant.objects.get(pk=api.tenant_id).tenant_config["agent_defaults"])


def refused(response: Any, *paths: str) -> None:
    """Check for 400 AGENT_004 with exactly these paths."""
    body = response.json()
    assert (response.status_code, body["error_code"], list(body["data"]["errors"])) == (400, "AGENT_004", list(paths))


class TestKeeping:
    @examples(6)
    @given(config=configs())
    def test_defaults_read_back_and_can_be_sent_back(self, api: AgentApi, config: Config) -> None:
        sent = {"agent_defaults": config, "own": {"agent_defaults": None}}

        assert data(put(api, sent))["tenant_config"] == {**sent, "agent_defaults": shown(config)}

        assert stored(api) == config
        before = Tenant.objects.get(pk=api.tenant_id)
        shown_again = data(api.send("GET", f"/tenants/{api.tenant_id}"))["tenant_config"]
        assert data(put(api, shown_again))["tenant_config"] == shown_again
        after = Tenant.objects.get(pk=api.tenant_id)
        assert (after.tenant_config, after.defaults_revision) == (before.tenant_config, before.defaults_revision)

    def test_sent_defaults_replace_the_stored_ones(self, api: AgentApi) -> None:
        put(api, {"agent_defaults": {"a": 1, **SECRET_CONFIG}, "b": 2})

        put(api, {"agent_defaults": {"c": 3}})

        assert Tenant.objects.get(pk=api.tenant_id).tenant_config == {"agent_defaults": {"c": 3}}

    def test_the_mask_keeps_a_secret(self, api: AgentApi) -> None:
        api.set_defaults(SECRET_CONFIG)

        api.set_defaults(model(api_providers=[provider(base_url=MASK, api_key="sk-new")]))

        assert stored(api) == model(api_providers=[provider(base_url="https://mine.example", api_key="sk-new")])

    def test_tenant_can_be_created_with_defaults(self, api: AgentApi) -> None:
        body = {"tenant_name": "New", "tenant_type": "enterprise", "tenant_config": {"agent_defaults": SECRET_CONFIG}}

        made = data(api.send("POST", "/tenants", body))

        assert made["tenant_config"] == {"agent_defaults": shown(SECRET_CONFIG)}
        api.tenant_id = made["id"]
        assert stored(api) == SECRET_CONFIG

    def test_no_response_and_no_audit_row_shows_a_secret(self, api: AgentApi) -> None:
        answers = [put(api, {"agent_defaults": SECRET_CONFIG}), api.send("GET", f"/tenants/{api.tenant_id}")]
        answers += [api.send("GET", "/tenants"), put(api, {"agent_defaults": {}})]

        told = str([answer.content for answer in answers])
        told += str(list(AuditEntry.objects.filter(action="tenant.update").values("before", "after")))

        assert MASK in told
        assert not any(secret in told for secret in ("sk-mine", "mine.example"))


class TestEffect:
    @pytest.mark.parametrize("removed", [{}, {"other": 1}, {"agent_defaults": None}, {"agent_defaults": {}}])
    def test_all_agents_use_the_defaults_until_they_are_removed(self, api: AgentApi, removed: Any) -> None:
        api.create({"b": 2})
        without = api.effective(), api.etag()
        api.set_defaults({"a": 1, "b": 1})
        assert (api.effective()["a"], api.effective()["b"]) == (1, 2)
        tag = api.etag()

        data(put(api, removed))

        assert api.effective() == without[0]
        assert api.etag() != tag
        assert api.numbers() == [1]

    def test_a_new_secret_is_a_change(self, api: AgentApi) -> None:
        api.set_defaults(SECRET_CONFIG)
        tag = api.create().etag()

        api.set_defaults(model(api_providers=[secret_provider() | {"api_key": "sk-new"}]))

        assert api.etag() != tag

    def test_a_change_is_one_entry_of_the_feed(self, api: AgentApi) -> None:
        api.create()
        seen = FeedEntry.objects.count()

        api.set_defaults({"a": 1})
        api.set_defaults({"a": 1})
        put(api, {"agent_defaults": {"a": 1}, "own": 1})
        put(api, {})

        changes = list(FeedEntry.objects.order_by("epoch").values_list("kind", "subject"))[seen:]
        assert changes == [("tenant", api.tenant_id)] * 2

    def test_agents_of_another_tenant_do_not_use_the_defaults(self, api: AgentApi, charlie: Person) -> None:
        strange = AgentApi(api.version, charlie).create()
        tag = strange.etag()

        api.set_defaults({"a": 1})

        assert "a" not in strange.effective()
        assert strange.etag() == tag


class TestRefusals:
    @pytest.mark.parametrize(
        ("defaults", "path"),
        [
            ([], PATH),
            ("text", PATH),
            ({"persona": 5}, f"{PATH}.persona"),
            (model(api_providers=[provider("ÜNÏVERSAL")]), f"{PATH}.config_overrides.model.api_providers[0].name"),
            (model(models=[{"name": "SYSTEM-model"}]), f"{PATH}.config_overrides.model.models[0].name"),
            (
                model(models=[{"name": "mine", "api_provider": "ünïversal"}]),
                f"{PATH}.config_overrides.model.models[0].api_provider",
            ),
            (
                model(api_providers=[provider(api_key=MASK)]),
                f"{PATH}.config_overrides.model.api_providers[0].api_key",
            ),
            ({"a": "x" * (256 * 1024)}, f"{PATH}.config"),
            ({"a": [0] * 5001}, f"{PATH}.config"),
        ],
    )
    def test_defaults_follow_the_rules_for_agents(self, api: AgentApi, defaults: Any, path: str) -> None:
        api.set_defaults({"a": 1})
        before = tables()

        refused(put(api, {"agent_defaults": defaults, "own": 1}), path)
        body = {"tenant_name": "New", "tenant_type": "enterprise", "tenant_config": {"agent_defaults": defaults}}
        refused(api.send("POST", "/tenants", body), path)
        assert tables() == before

    def test_warnings_are_counted_and_refused_with_strict_handling(self, api: AgentApi) -> None:
        odd = {**model(model_task_config={"replyer": {"model_list": ["none"]}}), "persona": {"states": [5]}}
        paths = [f"{PATH}.persona.states[0]", f"{PATH}.config_overrides.model.model_task_config.replyer.model_list[0]"]
        new = {"tenant_name": "New", "tenant_type": "enterprise", "tenant_config": {"agent_defaults": odd}}
        before = tables()
        change = f"/tenants/{api.tenant_id}", {"tenant_config": {"agent_defaults": odd}}

        for response in (
            api.send("PUT", *change, HTTP_PREFER="handling=strict"),
            api.send("POST", "/tenants", new, HTTP_PREFER="handling=strict"),
        ):
            refused(response, *paths)
            assert response["Preference-Applied"] == "handling=strict"
        assert tables() == before

        for response in (api.send("PUT", *change), api.send("POST", "/tenants", new)):
            assert (response.status_code, response["X-Config-Warnings"]) == (200, "2")
            assert response.json()["data"]["tenant_config"] == {"agent_defaults": odd}
            assert "Preference-Applied" not in response

    def test_names_of_the_defaults_are_taken_for_agents(self, api: AgentApi) -> None:
        api.set_defaults(model(api_providers=[secret_provider("p")], models=[{"name": "m", "api_provider": "p"}]))
        api.create()

        for config, path in (
            (model(api_providers=[provider("P")]), "config_overrides.model.api_providers[0].name"),
            (model(models=[{"name": "M"}]), "config_overrides.model.models[0].name"),
        ):
            api.assert_error(api.try_put(config), 400, "AGENT_004", path)
        mine = model(models=[{"name": "mine", "api_provider": "p"}])
        assert api.put(mine) == mine, "their provider is the tenant's own, and so is the model"

    def test_only_owners_change_the_defaults(self, alice: Person, bob: Person, charlie: Person) -> None:
        api = AgentApi("v1", alice)
        api.set_defaults({"a": 1})
        before = tables()

        assert put(_with_tenant(api.for_person(bob), api.tenant_id), {"agent_defaults": {}}).status_code == 403
        assert put(_with_tenant(api.for_person(charlie), api.tenant_id), {"agent_defaults": {}}).status_code == 404
        assert tables() == before


def _with_tenant(api: AgentApi, tenant_id: str) -> AgentApi:
    api.tenant_id = tenant_id
    return api


class TestTenantsOwnSecrets:
    """Secrets outside of the defaults are sealed where stored, masked for people and in clear for services."""

    OWN = {"crm": {"apiToken": "sk-mine", "regions": ["a"]}, "passwords": ["sk-mine", "sk-mine"], "max_tokens": 5}
    SHOWN = {"crm": {"apiToken": MASK, "regions": ["a"]}, "passwords": [MASK], "max_tokens": 5}

    def test_secrets_are_masked_for_people_and_sealed_where_stored(
        self, api: AgentApi, internal: SurfaceClient
    ) -> None:
        config = {**self.OWN, "agent_defaults": {"own": {"secret": "sk-mine"}}}
        assert put(api, config).status_code == 200

        people = api.person.client.get(f"/api/v1/tenants/{api.tenant_id}").json()["data"]["tenant_config"]
        services = internal.get(f"/api/v2/tenants/{api.tenant_id}").json()["data"]["tenant_config"]

        assert people == {**self.SHOWN, "agent_defaults": {"own": {"secret": MASK}}}
        assert services == {**self.OWN, "agent_defaults": {"own": {"secret": MASK}}}
        assert not any("sk-mine" in str(rows) for rows in tables().values())

    def test_mask_keeps_a_secret_and_other_values_replace(self, api: AgentApi) -> None:
        put(api, self.OWN)
        before = Tenant.objects.get(pk=api.tenant_id).tenant_config

        assert put(api, self.SHOWN).status_code == 200
        assert Tenant.objects.get(pk=api.tenant_id).tenant_config == before
        put(api, {"crm": {"apiToken": MASK}})

        assert opened(Tenant.objects.get(pk=api.tenant_id).tenant_config) == {"crm": {"apiToken": "sk-mine"}}

    def test_all_masks_without_a_stored_secret_are_refused(self, api: AgentApi) -> None:
        response = put(api, {"a": {"key": MASK}, "agent_defaults": {"b": {"key": [MASK]}}})

        refused(response, "tenant_config.a.key", "tenant_config.agent_defaults.b.key")
        assert not Tenant.objects.get(pk=api.tenant_id).tenant_config
