"""The effective config: its layers, sources, warnings, ETag and cache (docs/contract.md section 13)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from agent_config import layers
from agent_config.layers import Layer
from agents.tests.api import AgentApi, operators_template, shown
from core.models import AuditEntry, RevealCount
from tests.support.client import SurfaceClient
from tests.support.configs import MASK, Config, model, provider, secret_provider
from tests.support.examples import examples
from tests.support.layering import by_name, differences, located, objects, without
from tests.support.people import Person

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
SYSTEM_KEY = "the-operators-key"


class Files:
    """The operator's two TOML files."""

    def __init__(self, directory: Path, settings: Any) -> None:
        self._written = 0
        self._bot, self._models = directory / "bot_config.toml", directory / "model_config.toml"
        settings.BOT_CONFIG_PATH, settings.MODEL_CONFIG_PATH = self._bot, self._models
        self.write_bot({"own": {"a": 0}})
        self.write_models(
            {
                "api_providers": [{"name": "Ünïversal", "base_url": "https://good.example", "api_key": SYSTEM_KEY}],
                "models": [{"name": "system-model", "api_provider": "Ünïversal"}],
            }
        )

    def write_bot(self, content: dict[str, Any]) -> None:
        self._write(self._bot, content)

    def write_models(self, content: dict[str, Any]) -> None:
        self._write(self._models, content)

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        """Write the file with a later modification time than before, however coarse the file system's clock."""
        path.write_text(tomli_w.dumps(content), encoding="utf-8")
        self._written += 1
        os.utime(path, (self._written, self._written))


@pytest.fixture
def files(tmp_path: Path, settings: Any) -> Files:
    return Files(tmp_path, settings)


def own(value: Any) -> Config:
    return {"config_overrides": {"own": value}}


def warned(api: AgentApi) -> list[str]:
    """Return the paths of the effective config's warnings."""
    return [warning["path"] for warning in api.get("/effective")["warnings"]]


class TestLayers:
    def test_each_layer_overrides_the_one_below(self, api: AgentApi, files: Files, internal: SurfaceClient) -> None:
        files.write_bot({"own": {"a": 0, "b": 0, "c": 0, "d": 0}})
        template = operators_template(internal, own({"b": 1, "c": 1, "d": 1}))
        api.set_defaults(own({"c": 2, "d": 2}))

        api.create(own({"d": 3}), template_id=template)

        assert api.effective()["config_overrides"]["own"] == {"a": 0, "b": 1, "c": 2, "d": 3}
        found = api.get("/effective?explain=1")["sources"]
        names = {key: found[f"/config_overrides/own/{key}"] for key in "abcd"}
        assert names == {"a": "default", "b": "template", "c": "tenant", "d": "agent"}

    def test_empty_layers_resolve_to_the_systems_defaults(self, api: AgentApi, files: Files) -> None:
        api.create()

        found = api.get("/effective?explain=1")

        assert list(found) == ["version", "config", "warnings", "sources"]
        assert (found["version"], found["warnings"]) == (1, [])
        assert found["config"]["config_overrides"]["chat"]["max_context_size"] == 18
        assert set(found["sources"].values()) == {"default"}

    def test_the_version_is_the_agents_own(self, api: AgentApi, files: Files) -> None:
        api.create()
        api.put({"a": 1})
        api.set_defaults({"b": 2})

        assert api.get("/effective")["version"] == 2

    def test_secrets_of_every_layer_are_masked(self, api: AgentApi, files: Files, internal: SurfaceClient) -> None:
        files.write_bot({"maim_message": {"auth_token": ["tok-system"]}})
        template = operators_template(internal, model(api_providers=[secret_provider("p1")]))
        api.set_defaults(model(api_providers=[secret_provider("p2")]))
        api.create(model(api_providers=[secret_provider("p3")]), template_id=template)

        for query in ("", "?explain=1", "?reveal_secrets=0"):
            content = api.read(f"/effective{query}").content.decode()
            assert content.count(MASK) == 9
            assert not any(secret in content for secret in ("sk-mine", "mine.example", SYSTEM_KEY, "tok-system"))

    def test_stranger_gets_not_found(self, alice: Person, charlie: Person) -> None:
        api = AgentApi("v1", alice).create({"a": 1})

        assert api.for_person(charlie).read("/effective").status_code == 404
        assert api.for_person(charlie).read("/effective", HTTP_IF_NONE_MATCH=api.etag()).status_code == 404

    def test_unknown_agent_is_not_found(self, api: AgentApi) -> None:
        api.agent_id = "agent_000000000000"

        for query in ("", "?explain=1", "?reveal_secrets=1"):
            api.assert_error(api.read(f"/effective{query}"), 404, "AGENT_001")


class TestExplaining:
    @examples(4)
    @given(drawn=st.tuples(objects(), objects(), objects(), objects()))
    def test_removing_a_leaf_from_its_source_changes_exactly_that_leaf(
        self, api: AgentApi, files: Files, internal: SurfaceClient, drawn: tuple[Config, Config, Config, Config]
    ) -> None:
        """Repeat a test of test_layers through the files, the database and the API."""
        default, template, tenant, agent = ({"config_overrides": {"own": config}} for config in drawn)
        files.write_bot(default["config_overrides"])
        template_id = operators_template(internal, template)
        api.set_defaults(tenant)
        api.create(agent, template_id=template_id)

        def replace_template(config: Config) -> None:
            path = f"/api/v2/templates/{template_id}?replace=1"
            assert internal.send("PUT", path, {"config": config}).status_code == 200

        said = {"default": default, "template": template, "tenant": tenant, "agent": agent}
        write: dict[str, Callable[[Config], object]] = {
            "default": lambda config: files.write_bot(config.get("config_overrides", {})),
            "template": replace_template,
            "tenant": api.set_defaults,
            "agent": lambda config: api.put(config, "?replace=1"),
        }
        found = api.get("/effective?explain=1")
        asked = {pointer: name for pointer, name in found["sources"].items() if "/own" in pointer}
        for pointer, name in list(asked.items())[:6]:
            path = located(pointer, found["config"])
            write[name](without(said[name], path))
            after = api.get("/effective?explain=1")
            write[name](said[name])

            changed = differences(by_name(found["config"]), by_name(after["config"]))
            assert {each[: len(path)] for each in changed} <= {path}
            if not changed:
                assert after["sources"][pointer] != name
        assert api.get("/effective?explain=1")["config"] == found["config"]

    def test_pointers_are_escaped(self, api: AgentApi, files: Files) -> None:
        api.create({"a/b~c": {"": {"~1": 1}}, "__proto__": {"x": {}}})

        found = api.get("/effective?explain=1")["sources"]

        assert [pointer for pointer, name in found.items() if name == "agent"] == ["/a~1b~0c//~01", "/__proto__/x"]

    def test_items_of_named_lists_have_their_own_sources(self, api: AgentApi, files: Files) -> None:
        api.set_defaults(model(models=[{"name": "m2", "own": {"a": 1}}]))
        api.create(model(models=[{"name": "m3", "tags": ["a"]}]))

        found = api.get("/effective?explain=1")["sources"]

        place = "/config_overrides/model/models"
        assert {key: layer for key, layer in found.items() if key.startswith(place)} == {
            f"{place}/0/name": "default",
            f"{place}/0/api_provider": "default",
            f"{place}/1/name": "tenant",
            f"{place}/1/own/a": "tenant",
            f"{place}/2/name": "agent",
            f"{place}/2/tags": "agent",
        }


class TestWarnings:
    def test_missing_template_gets_a_warning(self, api: AgentApi, files: Files) -> None:
        api.create(template_id="no-such-template")

        assert warned(api) == ["template_id"]

    def test_name_taken_by_a_lower_layer_gets_a_warning(self, api: AgentApi, files: Files) -> None:
        api.create(model(api_providers=[provider("Late")], models=[{"name": "late"}]))
        assert warned(api) == []

        files.write_models({"api_providers": [{"name": "late"}], "models": [{"name": "LATE"}]})

        place = "config_overrides.model"
        assert warned(api) == [f"{place}.api_providers[0].name", f"{place}.models[0].name"]

    def test_unusual_value_and_missing_model_get_warnings(self, api: AgentApi, files: Files) -> None:
        api.set_defaults(model(models=[{"name": "m"}]))
        tasks = {"replyer": {"model_list": ["m"]}}
        api.create({"config_overrides": {"chat": {"talk_value": 1e9}, "model": {"model_task_config": tasks}}})
        api.set_defaults({})

        assert warned(api) == [
            "config_overrides.chat.talk_value",
            "config_overrides.model.model_task_config.replyer.model_list[0]",
        ]


class TestTrust:
    @pytest.mark.parametrize("layer", ["template", "tenant", "agent"])
    def test_an_operators_key_never_goes_with_another_address(
        self, api: AgentApi, files: Files, internal: SurfaceClient, layer: str
    ) -> None:
        """It holds also where the operator defines the name last."""
        mine = model(api_providers=[provider("late", base_url="https://evil.example")])
        if layer == "tenant":
            api.set_defaults(mine)
        template = api.make_template(mine) if layer == "template" else None
        api.create(mine if layer == "agent" else {}, template_id=template)

        late = {"name": "Late", "base_url": "https://good.example", "api_key": SYSTEM_KEY}
        files.write_models({"api_providers": [late]})

        path = f"/api/v2/agents/{api.agent_id}/config/effective?reveal_secrets=1"
        revealed = internal.get(path).json()["data"]["config"]["config_overrides"]["model"]["api_providers"]
        assert revealed == mine["config_overrides"]["model"]["api_providers"]
        assert warned(api) == ["config_overrides.model.api_providers[0].name"]


class TestETag:
    @pytest.fixture
    def template(self, internal: SurfaceClient) -> str:
        return operators_template(internal, own({"a": 1}))

    def test_etag_changes_with_each_layer(
        self, api: AgentApi, files: Files, internal: SurfaceClient, template: str
    ) -> None:
        api.create(template_id=template)
        seen = [api.etag()]

        changes: list[Callable[[], object]] = [
            lambda: files.write_bot({"own": {"a": 5}}),
            lambda: files.write_models({}),
            lambda: internal.send("PUT", f"/api/v2/templates/{template}", {"config": {"x": 1}}),
            lambda: api.set_defaults({"y": 1}),
            lambda: api.put({"z": 1}),
            lambda: api.change(template_id="another"),
            lambda: api.set_defaults(None),
            lambda: api.change(template_id=template),
            lambda: internal.delete(f"/api/v2/templates/{template}"),
        ]
        for change in changes:
            change()
            answer = api.read("/effective", HTTP_IF_NONE_MATCH=seen[-1])
            assert answer.status_code == 200
            seen.append(answer["ETag"])
        assert len(set(seen)) == len(seen)

    def test_etag_stays_after_other_changes(
        self, api: AgentApi, files: Files, internal: SurfaceClient, template: str
    ) -> None:
        api.create({"a": 1}, template_id=template)
        tag = api.etag()

        api.change(name="renamed", description="described", tags=["a"], status="inactive")
        api.put({"a": 1, "b": None})
        api.put(api.get(), "?replace=1")
        api.data(api.send("PUT", f"/tenants/{api.tenant_id}", {"description": "described"}))
        api.set_defaults({})
        internal.send("PUT", f"/api/v2/templates/{template}", {"name": "renamed", "config": own({"a": 1})})
        files.write_bot({"own": {"a": 0}})
        api.for_person(api.person).create({"a": 2}, template_id=template)

        answer = api.read("/effective", HTTP_IF_NONE_MATCH=tag)
        assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", tag)

    def test_etag_changes_with_a_new_template_under_the_same_id(self, api: AgentApi, internal: SurfaceClient) -> None:
        config = {"name": "t", "template_id": "chosen"}
        operators_template(internal, {"a": 1}, **config)
        api.create(template_id="chosen")
        tag = api.etag()

        internal.delete("/api/v2/templates/chosen")
        operators_template(internal, {"a": 2}, **config)

        assert api.data(api.read("/effective", HTTP_IF_NONE_MATCH=tag))["config"]["a"] == 2

    def test_explained_and_revealed_configs_have_their_own_etags(self, api: AgentApi, files: Files) -> None:
        api.create()
        queries = ("", "?explain=1") + (("?reveal_secrets=1", "?reveal_secrets=1&explain=1") * (api.version == "v2"))

        tags = [api.etag(f"/effective{query}") for query in queries]

        assert len(set(tags)) == len(tags)
        for query, tag in zip(queries, tags, strict=True):
            assert api.read(f"/effective{query}", HTTP_IF_NONE_MATCH=tag).status_code == 304

    def test_cached_config_is_not_shown_for_another_state(self, api: AgentApi, files: Files) -> None:
        api.create({"a": 1})
        first = api.effective()
        api.put({"a": 2})
        second = api.effective()
        api.data(api.restore(1))

        assert (first["a"], second["a"], api.effective()["a"]) == (1, 2, 1)


class TestRevealing:
    CONFIG = model(api_providers=[secret_provider()])

    @pytest.fixture
    def url(self, alice: Person, files: Files) -> str:
        api = AgentApi("v2", alice).create(self.CONFIG)
        return f"/api/v2/agents/{api.agent_id}/config/effective"

    def test_reveal_shows_the_secrets_of_every_layer(self, url: str, internal: SurfaceClient) -> None:
        found = internal.get(f"{url}?reveal_secrets=1").json()["data"]

        system_provider, mine = found["config"]["config_overrides"]["model"]["api_providers"]
        assert system_provider["api_key"] == SYSTEM_KEY
        assert mine == secret_provider()
        assert "sources" not in found

    def test_reveal_can_be_combined_with_explain(self, url: str, internal: SurfaceClient) -> None:
        found = internal.get(f"{url}?reveal_secrets=1&explain=1").json()["data"]

        assert found["sources"]["/config_overrides/model/api_providers/0/api_key"] == "default"
        assert found["sources"]["/config_overrides/model/api_providers/1/api_key"] == "agent"

    def test_each_reveal_is_counted(self, url: str, internal: SurfaceClient) -> None:
        asked = internal.get(f"{url}?reveal_secrets=1")
        internal.get(f"{url}?reveal_secrets=1&explain=1")
        internal.get(f"{url}?reveal_secrets=1", HTTP_IF_NONE_MATCH=asked["ETag"])  # shows nothing
        internal.get(f"{url}?explain=1")

        count = RevealCount.objects.get()
        assert (count.agent_id, count.address, count.number) == (url.split("/")[4], "127.0.0.1", 2)

    def test_revealed_config_is_not_cached_for_others(self, url: str, internal: SurfaceClient) -> None:
        internal.get(f"{url}?reveal_secrets=1")

        assert b"sk-mine" not in internal.get(url).content

    def test_v1_cannot_reveal(self, url: str, alice: Person) -> None:
        path = url.replace("v2", "v1")

        revealing, plain = (alice.client.get(f"{path}{query}") for query in ("?reveal_secrets=1", ""))

        assert revealing.json() == plain.json()
        assert revealing["ETag"] == plain["ETag"]
        assert MASK in revealing.content.decode()
        assert not AuditEntry.objects.filter(action="agent.reveal_secrets").exists()


class TestFiles:
    def test_a_changed_file_changes_the_effective_config(self, api: AgentApi, files: Files) -> None:
        api.create()
        assert api.effective()["config_overrides"]["own"] == {"a": 0}

        files.write_bot({"own": {"a": 1}, "personality": {"personality": "calm"}, "bot": {"nickname": "麦麦"}})

        config = api.effective()
        assert config["config_overrides"]["own"] == {"a": 1}
        assert config["persona"]["personality"] == "calm"
        assert config["bot_overrides"]["nickname"] == "麦麦"

    def test_config_resolved_before_a_change_is_not_cached_as_the_current_one(
        self, api: AgentApi, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Change the file after it was read, and before the result is cached."""
        api.create()
        resolve, contents = layers.resolve, [{"own": {"a": 1}}]

        def resolve_as_the_file_changes(found: Sequence[Layer]) -> Config:
            if contents:
                files.write_bot(contents.pop())
            return resolve(found)

        with monkeypatch.context() as patched:
            patched.setattr(layers, "resolve", resolve_as_the_file_changes)
            assert api.effective()["config_overrides"]["own"] == {"a": 0}

        assert api.effective()["config_overrides"]["own"] == {"a": 1}


class TestQueries:
    @pytest.mark.parametrize("what", ["", "?explain=1"])
    def test_read_takes_a_query_for_the_state_and_one_for_the_layers(
        self, what: str, alice: Person, files: Files
    ) -> None:
        api = AgentApi("v2", alice)
        template = api.make_template({"a": 1})
        api.set_defaults({"b": 2})
        api.create({"c": 3}, template_id=template)

        with CaptureQueriesContext(connection) as queries:
            tag = api.etag(f"/effective{what}")
        assert len(queries) == 2

        with CaptureQueriesContext(connection) as queries:
            assert api.read(f"/effective{what}", HTTP_IF_NONE_MATCH=tag).status_code == 304
        assert len(queries) == 1

    def test_poll_without_changes_takes_one_query(self, alice: Person) -> None:
        api = AgentApi("v2", alice).create({"a": 1})

        with CaptureQueriesContext(connection) as queries:
            assert api.read("", HTTP_IF_NONE_MATCH='"1"').status_code == 304

        assert len(queries) == 1


def test_own_config_reads_the_same_over_any_lower_layer(api: AgentApi, files: Files) -> None:
    api.set_defaults({"a": 1})
    config: Config = {"b": 2, **model(api_providers=[secret_provider()])}

    api.create(config)

    assert api.get() == shown(config)
