"""Warnings about configs, which are errors for clients that ask for strict handling (RFC 7240)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from agent_config.schema import ConfigWarning
from agent_config.updates import lint_config
from agents import config_warnings
from agents.config_warnings import MAX_LISTED_VALUES
from agents.models import Template
from agents.tests.api import AgentApi
from tests.support.configs import MASK, Config, model, provider
from tests.support.tables import changed_tables, tables

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

STRICT = {"HTTP_PREFER": "handling=strict"}
STATES = "persona.states[0]"
ODD: Config = {"persona": {"states": [{"name": "正常", "keywords": ["你好"]}]}}


def section(name: str, **fields: Any) -> Config:
    return {"config_overrides": {name: fields}}


# What the old service took and read back, and what of it is told.
TAKEN: list[tuple[Config, str]] = [
    (ODD, STATES),
    (section("expression", allow_reflect=["chat_1"]), "config_overrides.expression.allow_reflect[0]"),
    (section("expression", expression_groups=[{"a": ["b"]}]), "config_overrides.expression.expression_groups[0]"),
    (
        section("expression", learning_list=[["*", "enable", "enable", "1.0"]]),
        "config_overrides.expression.learning_list[0][0]",
    ),
    (section("experimental", chat_prompts=["hello"]), "config_overrides.experimental.chat_prompts[0]"),
    ({"bot_overrides": {"platforms": ["discord"]}}, "bot_overrides.platforms[0]"),
    ({"persona": {"reply_style": "长" * 501}}, "persona.reply_style"),
    ({"persona": {"states": ["a", None]}}, "persona.states[1]"),
    (section("chat", max_context_size=1.5), "config_overrides.chat.max_context_size"),
    (section("chat", talk_value=2), "config_overrides.chat.talk_value"),
    (section("chat", talk_value_rules=[{"value": "0.5"}]), "config_overrides.chat.talk_value_rules[0].value"),
    (
        model(api_providers=[provider(base_url="https://" + "x" * 501)]),
        "config_overrides.model.api_providers[0].base_url",
    ),
    (
        model(model_task_config={"replyer": {"model_list": ["in the bot's own file"]}}),
        "config_overrides.model.model_task_config.replyer.model_list[0]",
    ),
]


def paths(notices: list[dict[str, str]]) -> list[str]:
    assert all(notice["message"] for notice in notices)
    return [notice["path"] for notice in notices]


@pytest.mark.parametrize(("config", "path"), TAKEN, ids=lambda value: value if isinstance(value, str) else "")
def test_values_of_the_old_service_are_accepted_with_warnings(api: AgentApi, config: Config, path: str) -> None:
    answer = api.create().try_put(config)

    assert (answer.status_code, answer["X-Config-Warnings"]) == (200, "1")
    assert api.stored() == config
    assert "Preference-Applied" not in answer
    in_effect = [
        re.sub(r"api_providers\[\d+\]", "api_providers[0]", each["path"]) for each in api.get("/effective")["warnings"]
    ]
    assert path in in_effect, "there it stands behind the system's own"
    changed = api.data(api.send("PUT", f"/agents/{api.agent_id}", {"config": config}))
    assert paths(changed["config_warnings"]) == [path]
    read = api.data(api.send("GET", f"/agents/{api.agent_id}"))
    assert read == changed
    assert api.items(f"/agents?tenant_id={api.tenant_id}") == [read]


@pytest.mark.parametrize(("config", "path"), TAKEN, ids=lambda value: value if isinstance(value, str) else "")
def test_strict_handling_refuses_warnings_by_path(api: AgentApi, config: Config, path: str) -> None:
    api.create({"own": 1})
    before = api.state()

    for answer in (
        api.try_put(config, **STRICT),
        api.send("PUT", f"/agents/{api.agent_id}", {"config": config}, **STRICT),
    ):
        api.assert_error(answer, 400, "AGENT_004", path)
        assert answer["Preference-Applied"] == "handling=strict"
    assert api.state() == before


def test_replaced_values_get_no_warning(api: AgentApi) -> None:
    sent = section("chat", talk_value="0.5", max_context_size="20", mentioned_bot_reply=0, own="0.5")

    answer = api.create().try_put(sent, **STRICT)

    assert (answer.status_code, answer["X-Config-Warnings"]) == (200, "0")
    assert answer["Preference-Applied"] == "handling=strict"
    expected = section("chat", talk_value=0.5, max_context_size=20, mentioned_bot_reply=False, own="0.5")
    assert api.get() == api.stored() == expected


class TestScope:
    def test_warnings_cover_the_whole_config_and_strict_handling_sent_values(self, api: AgentApi) -> None:
        api.create(ODD)

        answer = api.try_put({"own": 1}, **STRICT)

        assert (answer.status_code, answer["X-Config-Warnings"]) == (200, "1")
        api.assert_error(api.try_put(api.get(), **STRICT), 400, "AGENT_004", STATES)

    def test_warning_about_a_text_persona_has_the_path_persona(self, api: AgentApi) -> None:
        api.create({"persona": {"reply_style": "长" * 501}})

        assert api.try_put({"persona": "kind"}, **STRICT).status_code == 200
        api.assert_error(api.try_put({"persona": 5}), 400, "AGENT_004", "persona")

    def test_warning_about_a_models_provider_has_the_sent_spelling(self, api: AgentApi) -> None:
        api.create()
        models = model(models=[{"name": "a", "provider_name": "x" * 101}])
        path = "config_overrides.model.models[0].provider_name"

        api.assert_error(api.try_put(models, **STRICT), 400, "AGENT_004", path)

    def test_stored_secret_gets_the_same_warning_as_when_sent(self, api: AgentApi) -> None:
        api.create(model(api_providers=[provider(base_url="https://" + "x" * 501, api_key="sk")]))

        assert api.try_put(api.get())["X-Config-Warnings"] == "1"
        read = api.data(api.send("GET", f"/agents/{api.agent_id}"))["config_warnings"]
        assert paths(read) == ["config_overrides.model.api_providers[0].base_url"]


class TestEveryWrite:
    def test_agent_write_returns_warnings(self, api: AgentApi) -> None:
        body = {"tenant_id": api.tenant_id, "name": "odd", "config": ODD}
        before = tables()

        api.assert_error(api.send("POST", "/agents", body, **STRICT), 400, "AGENT_004", STATES)
        assert changed_tables(before, tables()) == set()
        answer = api.send("POST", "/agents", body)
        assert (paths(api.data(answer)["config_warnings"]), answer["X-Config-Warnings"]) == ([STATES], "1")

    def test_template_write_returns_warnings(self, api: AgentApi) -> None:
        body = {"tenant_id": api.tenant_id, "name": "odd", "config": ODD}
        before = tables()

        api.assert_error(api.send("POST", "/templates", body, **STRICT), 400, "AGENT_004", STATES)
        assert changed_tables(before, tables()) == set()
        made = api.data(api.send("POST", "/templates", body))
        assert paths(made["config_warnings"]) == [STATES]
        path = f"/templates/{made['id']}"
        change = {"config": {"persona": {"states": [5]}}}
        api.assert_error(api.send("PUT", path, change, **STRICT), 400, "AGENT_004", STATES)
        assert Template.unscoped.get().config == ODD
        answer = api.send("PUT", path, change)
        assert (paths(api.data(answer)["template"]["config_warnings"]), answer["X-Config-Warnings"]) == ([STATES], "1")
        assert paths(api.data(api.send("GET", path))["config_warnings"]) == [STATES]
        api.create(template_id=made["id"])
        assert paths(api.get("/effective")["warnings"]) == [STATES]

    def test_import_returns_warnings(self, api: AgentApi) -> None:
        body = {"maim_export": 1, "name": "odd", "config": ODD}
        path = f"/agents/import?tenant_id={api.tenant_id}"
        before = tables()

        for query in ("", "&dry_run=1"):
            api.assert_error(api.send("POST", path + query, body, **STRICT), 400, "AGENT_004", STATES)
        rehearsed = api.data(api.send("POST", f"{path}&dry_run=1", body))
        assert (rehearsed["agent"], paths(rehearsed["config_warnings"])) == (None, [STATES])
        assert changed_tables(before, tables()) == set()
        made = api.data(api.send("POST", path, body))
        assert paths(made["config_warnings"]) == paths(made["agent"]["config_warnings"]) == [STATES]

    def test_restore_returns_warnings(self, api: AgentApi) -> None:
        api.create(ODD)
        api.put({}, "?replace=1")
        path = f"/agents/{api.agent_id}/config/restore"

        api.assert_error(api.send("POST", path, {"version": 1}, **STRICT), 400, "AGENT_004", STATES)
        assert api.stored() == {}
        answer = api.restore(1)
        assert (answer.status_code, answer["X-Config-Warnings"]) == (200, "1")
        assert api.stored() == ODD


class TestLists:
    def test_list_has_the_same_warnings_as_single_reads(self, api: AgentApi) -> None:
        template_id = api.make_template(ODD)
        api.create(ODD, template_id=template_id)
        query = f"?tenant_id={api.tenant_id}"

        [agent], [template] = api.items(f"/agents{query}"), api.items(f"/templates{query}")

        assert paths(agent["config_warnings"]) == paths(template["config_warnings"]) == [STATES]
        assert agent == api.data(api.send("GET", f"/agents/{api.agent_id}"))
        assert template == api.data(api.send("GET", f"/templates/{template_id}"))

    @pytest.mark.parametrize(("values", "is_told"), [(MAX_LISTED_VALUES, True), (MAX_LISTED_VALUES + 1, False)])
    def test_list_has_no_warnings_of_large_configs(self, api: AgentApi, values: int, is_told: bool) -> None:
        large = section("message_receive", ban_words=[1] * values)
        template_id = api.make_template(large)
        api.create(large)
        query = f"?tenant_id={api.tenant_id}"

        for _again in range(2):
            rows = [*api.items(f"/agents{query}"), *api.items(f"/templates{query}")]
            assert [row["config_warnings"] is not None for row in rows] == [is_told] * 2
            for path in (f"/agents/{api.agent_id}", f"/templates/{template_id}"):
                assert len(api.data(api.send("GET", path))["config_warnings"]) == values

    def test_list_has_no_warnings_of_deep_configs(self, api: AgentApi) -> None:
        deep = {"own": [[[number]] for number in range(MAX_LISTED_VALUES // 2)]}
        api.create({**section("chat", talk_value=2), **deep})

        assert [row["config_warnings"] for row in api.items(f"/agents?tenant_id={api.tenant_id}")] == [None]
        assert len(api.data(api.send("GET", f"/agents/{api.agent_id}"))["config_warnings"]) == 1

    def test_list_has_no_warnings_over_large_layers(self, api: AgentApi) -> None:
        tasks = model(model_task_config={"replyer": {"model_list": ["unheard of"]}})
        template_id = api.make_template({"own": [0] * (MAX_LISTED_VALUES + 1)})
        api.create(tasks, template_id=template_id)
        query = f"?tenant_id={api.tenant_id}"

        assert [row["config_warnings"] for row in api.items(f"/agents{query}")] == [None]
        assert len(api.data(api.send("GET", f"/agents/{api.agent_id}"))["config_warnings"]) == 1
        api.put(ODD, "?replace=1")
        assert [paths(row["config_warnings"]) for row in api.items(f"/agents{query}")] == [[STATES]]

    def test_list_has_warnings_in_each_readers_language(self, api: AgentApi) -> None:
        api.create(section("chat", talk_value=2))
        path = f"/agents?tenant_id={api.tenant_id}"
        english, chinese = (
            api.data(api.send("GET", path, HTTP_ACCEPT_LANGUAGE=language)) for language in ("en", "zh-CN")
        )

        assert (english == chinese) == (api.version == "v2"), "v2 answers in Chinese always"

    def test_list_recomputes_only_changed_warnings(self, api: AgentApi, monkeypatch: pytest.MonkeyPatch) -> None:
        looked_at = list[Config]()

        def counted(config: Config, *args: Any, **options: Any) -> list[ConfigWarning]:
            looked_at.append(config)
            return lint_config(config, *args, **options)

        monkeypatch.setattr(config_warnings, "lint_config", counted)
        api.create(ODD)
        api.make_template(ODD)
        for _again in range(3):
            api.items(f"/agents?tenant_id={api.tenant_id}")
            api.items(f"/templates?tenant_id={api.tenant_id}")
            api.send("GET", f"/agents/{api.agent_id}")

        assert looked_at == [ODD, ODD]


@pytest.mark.parametrize("layer", ["template", "tenant"])
def test_model_of_a_lower_layer_is_known_at_once(api: AgentApi, layer: str) -> None:
    path = "config_overrides.model.model_task_config.replyer.model_list[0]"
    own, empty = model(models=[{"name": "theirs", "api_provider": "free"}]), dict[str, Any]()
    template_id = api.make_template(empty)
    api.create(model(model_task_config={"replyer": {"model_list": ["theirs"]}}), template_id=template_id)

    def told() -> list[list[str]]:
        read = api.data(api.send("GET", f"/agents/{api.agent_id}"))
        return [paths(row["config_warnings"]) for row in (read, *api.items(f"/agents?tenant_id={api.tenant_id}"))]

    def set_layer(config: Config) -> None:
        if layer == "tenant":
            api.set_defaults(config)
        else:
            api.data(api.send("PUT", f"/templates/{template_id}?replace=1", {"config": config}))

    assert told() == [[path], [path]]
    set_layer(own)
    assert told() == [[], []]
    set_layer(empty)
    assert told() == [[path], [path]]


def test_warnings_are_in_the_callers_language(api: AgentApi) -> None:
    body = {"tenant_id": api.tenant_id, "name": "odd", "config": section("chat", max_context_size=1.5, talk_value=2)}

    made = api.data(api.send("POST", "/agents", body, HTTP_ACCEPT_LANGUAGE="zh-CN"))

    assert [notice["message"] for notice in made["config_warnings"]] == ["必须是整数", "通常在 0 到 1 之间"]


def test_null_removes_members_of_objects_but_is_an_item_in_lists(api: AgentApi) -> None:
    sent = {"own": {"a": None, "b": [None, 1, {"c": None, "d": [None]}]}, "persona": {"states": ["x", None]}}
    expected = {"own": {"b": [None, 1, {"d": [None]}]}, "persona": {"states": ["x", None]}}

    assert api.create().put(sent) == expected

    state = api.state()
    assert api.put(api.get()) == expected
    assert api.state() == state


def test_mask_gets_no_warning(api: AgentApi) -> None:
    config = model(api_providers=[provider(base_url="https://x", api_key="sk")])
    api.create(config)

    answer = api.try_put(api.get(), **STRICT)

    assert (answer.status_code, answer["X-Config-Warnings"]) == (200, "0")
    assert MASK in answer.content.decode()
