"""Versions of configs: listing, notes, differences, restoring and conditions (docs/contract.md section 13)."""

from __future__ import annotations

import json
from typing import Any

import jsonpatch
import pytest
from django.apps import apps
from hypothesis import assume, given

from agent_config.secrets import opened
from agents.models import Agent, ConfigVersion
from agents.tests.api import AgentApi, shown
from core.models import AuditEntry, FeedEntry
from core.strict_json import MAX_DEPTH
from tests.support.config_strategies import configs
from tests.support.configs import MASK, Config, model, provider, secret_provider
from tests.support.examples import examples
from tests.support.layering import objects
from tests.support.people import Person

pytestmark = pytest.mark.django_db
few = examples(3)
SECRET_CONFIG: Config = {
    "config_overrides": {
        "model": {"api_providers": [secret_provider()]},
        "maim_message": {"auth_token": ["tok-1", "tok-2"]},
    }
}
SECRETS = ("sk-mine", "mine.example", "tok-1")
ANOTHER_KEY = "QW5vdGhlciBmZXJuZXQga2V5LCBvZiAzMiBieXRlcy4="


def latest(api: AgentApi) -> int:
    number: int = api.versions()[0]["version"]
    return number


class TestVersions:
    def test_each_change_makes_a_version_and_newest_come_first(self, api: AgentApi) -> None:
        api.create({"a": 1})
        api.put({"b": 2}, "?note=why%20not")
        api.put({"a": None})

        third, second, first = api.versions()

        assert set(third) == {"version", "created_at", "author", "note", "changes"}
        assert [(row["version"], row["note"]) for row in (first, second, third)] == [
            (1, None),
            (2, "why not"),
            (3, None),
        ]
        assert {row["author"] for row in (first, second, third)} == {"alice" if api.version == "v1" else "内部接口"}
        assert third["changes"] == [{"op": "remove", "path": "/a"}]
        assert [api.get(f"/versions/{n}")["config"] for n in (1, 2, 3)] == [{"a": 1}, {"a": 1, "b": 2}, {"b": 2}]

    def test_agent_created_without_config_has_an_empty_version(self, api: AgentApi) -> None:
        api.create()

        (first,) = api.versions()

        assert (first["version"], first["changes"]) == (1, [])
        assert api.get("/versions/1")["config"] == {}

    def test_write_that_changes_nothing_makes_no_version(self, api: AgentApi) -> None:
        api.create({"a": {"b": 1}, **SECRET_CONFIG})
        before = api.state()

        sames: list[Config] = [{}, {"a": {"b": 1}}, {"a": {}}, {"c": None}, SECRET_CONFIG, shown(SECRET_CONFIG)]
        for same in sames:
            api.put(same, "?note=nothing")
        api.change(config={"a": {"b": 1}})

        assert api.state() == before

    @pytest.mark.parametrize("value", [True, 1.0, "1", [1]])
    def test_value_of_another_type_makes_a_version(self, api: AgentApi, value: Any) -> None:
        api.create({"a": 1})

        api.put({"a": value})

        assert api.numbers() == [1, 2]
        assert json.dumps(api.versions()[0]["changes"]) == json.dumps([{"op": "replace", "path": "/a", "value": value}])

    def test_change_of_other_fields_makes_no_version(self, api: AgentApi) -> None:
        api.create({"a": 1})

        api.change(description="described", tags=["a"], template_id="template_1", status="inactive")

        assert api.numbers() == [1]

    def test_config_change_through_the_agent_makes_a_version(self, api: AgentApi) -> None:
        api.create({"a": 1})

        api.change(description="described", config={"b": 2})

        assert api.numbers() == [1, 2]
        assert api.versions()[0]["changes"] == [{"op": "add", "path": "/b", "value": 2}]

    def test_versions_are_read_in_pages(self, api: AgentApi) -> None:
        api.create()
        for number in range(4):
            api.put({"a": number})
        query = "?skip=1&limit=2" if api.version == "v1" else "?page=2&size=2"

        rows = api.items(f"/agents/{api.agent_id}/config/versions{query}")

        assert [row["version"] for row in rows] == ([4, 3] if api.version == "v1" else [3, 2])

    @pytest.mark.embedded
    @pytest.mark.parametrize("number", [0, 2, 2**31 - 1])
    def test_unknown_version_is_not_found(self, api: AgentApi, number: int) -> None:
        api.create()

        assert api.read(f"/versions/{number}").status_code == 404
        assert api.read(f"/diff?from=1&to={number}").status_code == (404 if number else 400)
        assert api.restore(number).status_code == (404 if number else 400)

    def test_versions_are_deleted_with_the_agent(self, api: AgentApi) -> None:
        api.create({"a": 1})

        assert api.send("DELETE", f"/agents/{api.agent_id}").status_code in (200, 204)

        assert api.numbers() == []

    def test_a_stranger_sees_none_and_changes_nothing(self, alice: Person, bob: Person, charlie: Person) -> None:
        api = AgentApi("v1", alice).create({"a": 1})
        api.put({"a": 2})
        before, strange = api.state(), api.for_person(charlie)

        for what in ("", "/effective", "/versions", "/versions/1", "/diff?from=1&to=2"):
            assert strange.read(what).status_code == 404
            assert api.for_person(bob).read(what).status_code == 200
        assert strange.try_put({"a": 3}).status_code == 404
        assert strange.restore(1).status_code == 404
        assert api.state() == before

    def test_whoever_changes_it_is_the_author(self, alice: Person, bob: Person) -> None:
        api = AgentApi("v1", alice).create({"a": 1})

        api.for_person(bob).put({"a": 2})

        assert [row["author"] for row in api.versions()] == ["bob", "alice"]


@pytest.mark.embedded
class TestNotes:
    @pytest.mark.parametrize("note", ["", "x" * 501])
    def test_empty_or_too_long_note_is_refused(self, api: AgentApi, note: str) -> None:
        api.create()
        before = api.state()

        assert api.try_put({"a": 1}, f"?note={note}").status_code == 400
        assert api.state() == before

        api.put({"a": 1}, f"?note={'x' * 500}")
        assert api.versions()[0]["note"] == "x" * 500


class TestDifferences:
    @pytest.mark.embedded
    @few
    @given(first=configs(), second=configs())
    def test_a_patch_leads_from_one_version_to_the_next_and_back(
        self, api: AgentApi, first: Config, second: Config
    ) -> None:
        assume(json.dumps(first) != json.dumps(second))
        api.create(first)
        api.put(second, "?replace=1")

        told = api.versions()[0]["changes"]
        there, back = (api.get(f"/diff?from={n}&to={3 - n}")["changes"] for n in (1, 2))

        assert told == there
        assert jsonpatch.apply_patch(shown(first), there) == shown(second)
        assert jsonpatch.apply_patch(shown(second), back) == shown(first)

    @pytest.mark.embedded
    @few
    @given(first=objects(), second=objects())
    def test_patch_with_awkward_keys_leads_from_one_version_to_the_next(
        self, api: AgentApi, first: Config, second: Config
    ) -> None:
        api.create(first)
        api.put(second, "?replace=1")

        there = api.get("/diff?from=1&to=" + str(api.row.config_version))["changes"]

        assert json.dumps(jsonpatch.apply_patch(first, there), sort_keys=True) == json.dumps(second, sort_keys=True)

    def test_changed_secret_is_listed_but_masked(self, api: AgentApi) -> None:
        api.create(SECRET_CONFIG)
        api.put(model(api_providers=[provider(api_key="sk-new")]))
        api.put({"config_overrides": {"maim_message": {"auth_token": ["tok-3"]}}})

        path = "/config_overrides/model/api_providers/0/api_key"
        assert api.versions()[1]["changes"] == [{"op": "replace", "path": path, "value": MASK}]
        path = "/config_overrides/maim_message/auth_token"
        assert api.get("/diff?from=2&to=3")["changes"] == [{"op": "replace", "path": path, "value": [MASK]}]
        assert api.get("/diff?from=1&to=1")["changes"] == []

    def test_secret_stored_in_clear_is_masked(self, api: AgentApi) -> None:
        api.create({"a": 1})
        Agent.unscoped.filter(pk=api.agent_id).update(config=model(api_providers=[secret_provider()]))

        api.put(model(api_providers=[provider(api_key="sk-new")]))

        told = json.dumps(api.versions()[0]["changes"])
        assert MASK in told
        assert not any(secret in told for secret in SECRETS)

    def test_clients_own_sealed_key_is_no_secret(self, api: AgentApi) -> None:
        api.create({"own": {"$sealed": "a"}})

        api.put({"own": {"$sealed": "b"}})

        assert api.versions()[0]["changes"] == [{"op": "replace", "path": "/own/$sealed", "value": "b"}]
        assert api.get("/versions/1")["config"] == {"own": {"$sealed": "a"}}


class TestRestoring:
    @pytest.mark.embedded
    @few
    @given(first=configs(), second=configs())
    def test_restore_brings_back_the_config_with_its_secrets(
        self, api: AgentApi, first: Config, second: Config
    ) -> None:
        assume(json.dumps(first) != json.dumps(second))
        api.create(first)
        api.put(second, "?replace=1")

        answer = api.data(api.restore(1, note="back"))

        assert json.dumps(answer) == json.dumps({"version": 3, "config": shown(first)})
        assert json.dumps(api.stored()) == json.dumps(first)
        rows = ConfigVersion.unscoped.filter(agent_id=api.agent_id)
        assert json.dumps(opened(rows.get(number=3).config)) == json.dumps(opened(rows.get(number=1).config))
        assert (latest(api), api.versions()[0]["note"]) == (3, "back")

    def test_restore_of_the_current_config_makes_no_version(self, api: AgentApi) -> None:
        api.create(SECRET_CONFIG)
        api.put({"a": 1})
        api.put({"a": None})
        before = api.state()

        assert api.data(api.restore(1))["version"] == 3
        assert api.data(api.restore(3))["version"] == 3
        assert api.state() == before

    def test_restore_of_an_equal_secret_under_another_token_makes_no_version(self, api: AgentApi) -> None:
        api.create(SECRET_CONFIG)
        api.put(model(api_providers=[provider(api_key="sk-new")]))
        api.put(SECRET_CONFIG)
        before = api.state()

        assert api.get("/diff?from=1&to=3")["changes"] == []
        assert api.data(api.restore(1))["version"] == 3
        assert api.state() == before

    def test_restore_is_in_the_audit_log_and_in_the_feed(self, api: AgentApi) -> None:
        api.create({"a": 1})
        api.put({"a": 2})
        seen = FeedEntry.objects.count()

        api.data(api.restore(1))

        entry = AuditEntry.objects.get(action="agent.restore", object_id=api.agent_id)
        assert entry.before == {"config_version": 2, "restored": None}
        assert entry.after == {"config_version": 3, "restored": 1}
        assert FeedEntry.objects.count() == seen + 1

    def test_restore_is_refused_if_a_lower_layer_took_a_name(self, api: AgentApi) -> None:
        api.create(model(api_providers=[provider("p")]))
        api.put(model(api_providers=None))
        api.set_defaults(model(api_providers=[secret_provider("P")]))
        before = api.state()

        api.assert_error(api.restore(1), 400, "AGENT_004", "config_overrides.model.api_providers[0].name")
        assert api.state() == before

    def test_restore_checks_if_match(self, api: AgentApi) -> None:
        api.create({"a": 1})
        api.put({"a": 2})
        before = api.state()
        path = f"/agents/{api.agent_id}/config/restore"

        api.assert_error(api.send("POST", path, {"version": 1}, HTTP_IF_MATCH='"1"'), 412, "PRECONDITION_FAILED")
        assert api.state() == before
        answer = api.send("POST", path, {"version": 1}, HTTP_IF_MATCH='"2"')
        assert (api.data(answer)["version"], answer["ETag"]) == (3, '"3"')


@pytest.mark.embedded
class TestConditions:
    def test_etag_of_the_config_is_its_version(self, api: AgentApi) -> None:
        api.create({"a": 1})
        assert api.etag("") == '"1"'

        assert api.try_put({"a": 2})["ETag"] == '"2"'
        assert api.etag("") == '"2"'

    @pytest.mark.parametrize("tags", ['"2"', 'W/"2"', '"2-gzip"', '"1", "2"', "*"])
    def test_read_with_the_current_etag_is_304(self, api: AgentApi, tags: str) -> None:
        api.create({"a": 1})
        api.put({"a": 2})

        answer = api.read("", HTTP_IF_NONE_MATCH=tags)

        assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", '"2"')

    @pytest.mark.parametrize("tags", ['"1"', '"22"', "2", ""])
    def test_read_with_another_etag_gets_the_config(self, api: AgentApi, tags: str) -> None:
        api.create({"a": 1})
        api.put({"a": 2})

        assert api.data(api.read("", HTTP_IF_NONE_MATCH=tags)) == {"a": 2}

    @pytest.mark.parametrize("tags", ['"2"', 'W/"2"', '"2-gzip"', '"1", "2"', "*"])
    def test_write_with_the_current_etag_succeeds(self, api: AgentApi, tags: str) -> None:
        api.create({"a": 1})
        api.put({"a": 2})

        assert api.put({"a": 3}, HTTP_IF_MATCH=tags) == {"a": 3}

    @pytest.mark.parametrize("tags", ['"1"', '"3"', '"x"', 'W/"1"', '"22"', '""', '"２"'])
    def test_write_with_another_etag_is_412(self, api: AgentApi, tags: str) -> None:
        api.create({"a": 1})
        api.put({"a": 2})
        before = api.state()

        assert api.try_put({"a": 3}, HTTP_IF_MATCH=tags).status_code == 412
        assert api.try_put({"a": 2}, "?replace=1", HTTP_IF_MATCH=tags).status_code == 412
        assert api.state() == before

    def test_malformed_etag_is_refused(self, api: AgentApi) -> None:
        api.create({"a": 1})

        api.assert_error(api.try_put({"a": 3}, HTTP_IF_MATCH="1"), 400, "VALIDATION_ERROR", "If-Match")


@pytest.mark.embedded
class TestRefusedWrites:
    """A refused write leaves config, version, secrets, feed and audit log unchanged."""

    @pytest.mark.parametrize(
        "config",
        [
            {"a": 1, "persona": 5},
            {"a": 1, "config_overrides": {"chat": {"talk_value": "much"}}},
            {"a": 1, **model(models=[{"name": "m"}, {"name": "m"}])},
            {"a": 1, **model(model_task_config={"replyer": {"model_list": "no list"}})},
            model(api_providers=[provider(api_key="sk-new"), provider("new", api_key=MASK)]),
            model(api_providers=[provider(api_key={"$sealed": "forged"})]),
            {"config_overrides": {"maim_message": {"auth_token": {"$sealed": "forged"}}}},
            {"a": "x" * (256 * 1024)},
            {"a": list(range(5001))},
            {"a": {str(number): {} for number in range(5001)}},
            [],
            "text",
            None,
        ],
        ids=lambda config: json.dumps(config)[:60],
    )
    def test_invalid_config_changes_nothing_on_any_path(self, api: AgentApi, config: Any) -> None:
        api.create(SECRET_CONFIG)
        before = api.state()

        for query in ("", "?replace=1", "?note=x"):
            assert api.try_put(config, query).status_code == 400
        if config is not None:
            assert api.send("PUT", f"/agents/{api.agent_id}", {"config": config}).status_code == 400
        assert api.state() == before
        assert api.stored() == SECRET_CONFIG

    def test_a_config_is_at_most_28_deep(self, api: AgentApi) -> None:
        deep: Any = 1
        for _ in range(MAX_DEPTH):
            deep = {"a": deep}
        api.create()
        before = api.state()

        assert api.try_put({"a": deep}).status_code == 400
        assert api.state() == before
        assert api.put(deep) == deep
        assert api.get("/effective")["config"]["a"] == deep["a"]

    @pytest.mark.parametrize(
        "value", [list(range(5000)), {str(number): {} for number in range(5000)}, [[number] for number in range(5000)]]
    )
    def test_a_config_has_at_most_5000_values(self, api: AgentApi, value: Any) -> None:
        api.create()
        assert api.put({"a": value}) == {"a": value}
        before = api.state()

        api.assert_error(api.try_put({"b": 1}), 400, "AGENT_004", "config")
        assert api.state() == before

    def test_sealing_of_secrets_does_not_count_for_the_size(self, api: AgentApi) -> None:
        config = model(api_providers=[provider(str(n), api_key="x" * 400) for n in range(400)])
        room = 256 * 1024 - len(json.dumps(config, separators=(",", ":"))) - len(',"a":""')
        api.create()

        api.put({**config, "a": "x" * room})
        api.put({"a": "y" * room})
        api.assert_error(api.try_put({"a": "x" * (room + 1)}), 400, "AGENT_004", "config")


class TestAudit:
    def test_audit_row_of_a_change_has_the_version(self, api: AgentApi) -> None:
        api.create(SECRET_CONFIG)

        api.put({"a": 1})

        entry = AuditEntry.objects.get(action="agent.update", object_id=api.agent_id)
        assert (entry.before, entry.after) == ({"config_version": 1}, {"config_version": 2})


class TestStolenDatabase:
    def test_stolen_database_shows_no_secret(self, api: AgentApi) -> None:
        api.create(SECRET_CONFIG)
        api.put(model(api_providers=[provider(api_key="sk-mine-too")]))
        api.data(api.restore(1))
        api.make_template(SECRET_CONFIG)
        api.set_defaults({"config_overrides": {"maim_message": {"auth_token": ["tok-1"]}}})

        dump = repr([list(table._base_manager.values()) for table in apps.get_models()])

        assert api.agent_id in dump
        assert not any(secret in dump for secret in SECRETS)

    def test_secrets_cannot_be_decrypted_without_the_key(self, api: AgentApi, settings: Any, internal: Any) -> None:
        api.create(SECRET_CONFIG)
        api.put({"a": 1})
        settings.ENCRYPTION_KEYS = (ANOTHER_KEY,)
        masked = shown(SECRET_CONFIG)

        assert api.get() == {**masked, "a": 1}
        assert api.get("/versions/1")["config"] == masked
        assert api.effective()["config_overrides"]["maim_message"]["auth_token"] == [MASK]
        revealed = internal.get(f"/api/v2/agents/{api.agent_id}/config/effective?reveal_secrets=1")
        assert revealed.status_code == 503
        assert int(revealed["Retry-After"]) > 0
        assert not any(secret in revealed.content.decode() for secret in SECRETS)

        api.put({**masked, "a": 2})
        api.data(api.restore(2))
        settings.ENCRYPTION_KEYS = (ANOTHER_KEY, "YSBmZXJuZXQga2V5IGZvciB0ZXN0cyBvZiAzMiBieXQ=")
        assert api.row.config == ConfigVersion.unscoped.get(agent_id=api.agent_id, number=2).config

    def test_new_secret_replaces_one_under_a_lost_key(self, api: AgentApi, settings: Any) -> None:
        api.create(SECRET_CONFIG)
        lost = settings.ENCRYPTION_KEYS
        settings.ENCRYPTION_KEYS = (ANOTHER_KEY,)

        api.put(model(api_providers=[provider(api_key="sk-new", base_url=MASK)]))

        settings.ENCRYPTION_KEYS = (ANOTHER_KEY, *lost)
        (stored,) = api.stored()["config_overrides"]["model"]["api_providers"]
        assert stored == provider(api_key="sk-new", base_url="https://mine.example")
