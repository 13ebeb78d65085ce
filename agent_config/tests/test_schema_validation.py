"""Validation against the schema: values that are accepted, refused and warned about (docs/contract.md section 13)."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_config import schema
from agent_config.document import SECTIONS
from agent_config.schema import Finding
from tests.support.config_fields import FIELDS, TASKS
from tests.support.config_strategies import AWKWARD_KEYS, configs
from tests.support.configs import MASK, Config, model, provider
from tests.support.examples import examples

pytestmark = pytest.mark.embedded

# Of each kind of field: what is refused, what is warned of, and what is stored as what it means.
WRONG: dict[str, list[Any]] = {
    "array": ["x", 5, True, {}, {"0": "x"}],
    "boolean": [2, -1, 0.5, "true", "1", [], {}],
    "integer": ["x", "", "0x5", "1_000", "5 5", "NaN", "1e999", "9223372036854775808", "5" * 5000, True, [], {}],
    "number": ["x", "", "half", "Infinity", "-", ".", "1e", True, [], {}],
    "object": ["x", 5, True, []],
    "string": [5, 0.5, True, [], {}, {"$sealed": "x"}],
}
ODD: dict[str, list[Any]] = {"integer": [1.5, 5.0]}
MEANT: dict[str, list[tuple[Any, Any]]] = {
    "boolean": [(0, False), (1, True), (1.0, True)],
    "integer": [("5", 5), (" 70 ", 70), ("+5", 5), ("05", 5), ("9007199254740993", 9007199254740993)],
    "number": [("0.5", 0.5), ("1", 1), (".5", 0.5), ("1.", 1.0), ("1e0", 1.0)],
}
# All that is of another type than the field.
FOREIGN = {
    kind: [*wrong, *ODD.get(kind, []), *(value for value, _meaning in MEANT.get(kind, []))]
    for kind, wrong in WRONG.items()
}


def section(name: str, **fields: Any) -> Config:
    return {"config_overrides": {name: fields}}


def refused(sent: Any, stored: Any = None) -> list[str]:
    """Return the paths of the errors."""
    return _paths(schema.validate(sent, stored or {}).errors)


def warned(sent: Any, stored: Any = None) -> list[str]:
    """Return the paths of the warnings about a valid config."""
    found = schema.validate(sent, stored or {})
    assert found.errors == []
    return _paths(found.warnings)


def stored_of(sent: Config) -> Config:
    """Return the config that is stored for a sent one."""
    found = schema.validate(sent, {})
    assert found.errors == []
    return schema.replace_values(sent, found.replacements)


def sentences(sent: Any) -> list[Finding]:
    return schema.validate(sent, {}).warnings


def _paths(found: list[Finding]) -> list[str]:
    assert all(each.sentence for each in found)
    return [schema.path(each.place) for each in found]


class TestAccepted:
    @given(configs())
    @examples(25)
    def test_any_config_of_the_schema_is_accepted(self, config: Config) -> None:
        before = copy.deepcopy(config)

        found = schema.validate(config, {})

        assert found.errors == []
        assert found.replacements == []
        assert config == before

    @pytest.mark.parametrize("key", AWKWARD_KEYS)
    @pytest.mark.parametrize("value", [5, {"x": [[]]}, None, [None]])
    def test_unknown_keys_are_accepted_at_every_level(self, key: str, value: Any) -> None:
        extra = {key: value}
        config = {
            **extra,
            "persona": extra,
            "bot_overrides": extra,
            "config_overrides": {
                **extra,
                "chat": {**extra, "talk_value_rules": [extra]},
                "keyword_reaction": {"regex_rules": [extra]},
                "model": {
                    **extra,
                    "models": [{"name": "a", **extra}],
                    "api_providers": [provider(**extra)],
                    "model_task_config": {**extra, "vlm": extra},
                },
            },
        }

        assert refused(config) == []

    def test_null_is_accepted_anywhere(self) -> None:
        for path, fields in FIELDS.items():
            for name in fields:
                if name != "name":
                    assert refused(placed(path, {"name": "a", name: None})) == []
        nothing: Config = dict.fromkeys(SECTIONS)
        assert refused({"persona": None, "bot_overrides": None, "config_overrides": nothing}) == []
        assert refused(section("chat", talk_value_rules=[{"target": None, "time": None, "value": None}])) == []

    def test_mask_is_accepted_in_place_of_a_secret(self) -> None:
        assert refused(model(api_providers=[provider(api_key=MASK, base_url=MASK)])) == []
        assert refused(section("maim_message", auth_token=MASK)) == []

    def test_integer_is_accepted_for_a_number(self) -> None:
        assert refused(section("chat", talk_value=1, planner_smooth=2)) == []


class TestRefused:
    @pytest.mark.parametrize("path", FIELDS)
    def test_wrong_type_is_refused_in_each_field(self, path: str) -> None:
        for name, (kind, _default, _length) in FIELDS[path].items():
            for wrong in WRONG[kind]:
                assert refused(placed(path, {"name": "a", name: wrong})) == [shown(path, name)], (name, wrong)

    @pytest.mark.parametrize("path", FIELDS)
    def test_number_as_text_and_boolean_as_number_are_replaced(self, path: str) -> None:
        for name, (kind, _default, _length) in FIELDS[path].items():
            for value, replacement in MEANT.get(kind, []):
                sent = placed(path, {"name": "a", "own": [value], name: value})
                assert text(stored_of(sent)) == text(placed(path, {"name": "a", "own": [value], name: replacement}))
                assert text(sent) == text(placed(path, {"name": "a", "own": [value], name: value})), (
                    "a copy was changed"
                )

    @pytest.mark.parametrize("wrong", [5, [], True, "x"])
    def test_section_that_is_no_object_is_refused(self, wrong: Any) -> None:
        named = refused({"config_overrides": dict.fromkeys(SECTIONS, wrong)})

        assert sorted(named) == [f"config_overrides.{name}" for name in SECTIONS]
        assert refused({"bot_overrides": wrong, "config_overrides": wrong}) == ["bot_overrides", "config_overrides"]

    def test_items_without_a_distinct_name_are_refused(self) -> None:
        items = [{"name": "a"}, {}, {"name": ""}, {"name": 5}, {"name": None}, {"name": "a"}, "b"]
        models, providers = "config_overrides.model.models", "config_overrides.model.api_providers"

        found = refused(model(models=items, api_providers=items))

        wrong = ("[1].name", "[2].name", "[3].name", "[4].name", "[5].name", "[6]")
        assert sorted(found) == sorted(f"{kind}{place}" for kind in (models, providers) for place in wrong)

    @pytest.mark.parametrize(("good", "bad"), [("^广告", "("), ("a" * 500, "a" * 501), ("(ab+c)*", "(a+)+")])
    def test_invalid_or_slow_regex_is_refused(self, good: str, bad: str) -> None:
        assert refused(section("message_receive", ban_msgs_regex=[good])) == []
        assert refused(section("message_receive", ban_msgs_regex=[good, bad])) == [
            "config_overrides.message_receive.ban_msgs_regex[1]"
        ]

    def test_bad_regexes_of_rules_are_refused(self) -> None:
        config = section("keyword_reaction", regex_rules=[{"regex": ["ok"]}, {"regex": ["ok", "(.*,)*"]}])

        assert refused(config) == ["config_overrides.keyword_reaction.regex_rules[1].regex[1]"]

    def test_too_many_regexes_are_refused(self) -> None:
        banned = "config_overrides.message_receive.ban_msgs_regex"

        assert refused(section("message_receive", ban_msgs_regex=["a" * 400] * 26)) == [f"{banned}[25]"]
        assert refused(section("message_receive", ban_msgs_regex=["a"] * 501)) == [f"{banned}[500]"]

    def test_all_errors_are_named_at_once(self) -> None:
        lists = {"talk_value_rules": [{"time": 5}, 5], "auto_chat_value_rules": {}}
        config = {"persona": {"states": [1, "x", 2], "interest": 5}, **section("chat", talk_value="x", **lists)}

        assert refused(config) == [
            "persona.interest",
            "config_overrides.chat.talk_value",
            "config_overrides.chat.auto_chat_value_rules",
        ]
        assert _paths(schema.validate(config, {}).warnings) == [
            "persona.states[0]",
            "persona.states[2]",
            "config_overrides.chat.talk_value_rules[0].time",
            "config_overrides.chat.talk_value_rules[1]",
        ]

    def test_thousands_of_wrong_values_are_not_named_one_by_one(self) -> None:
        lists = {"ban_words": [1] * 5000, "ban_msgs_regex": [1] * 5000}

        assert refused(section("message_receive", **lists)) == ["config"]
        assert refused({"persona": {"states": ["x"] * 5001}}) == ["persona.states"]

    @given(configs(), st.randoms(use_true_random=False))
    @examples(25)
    def test_each_mutation_is_named_by_its_path(self, config: Config, chance: random.Random) -> None:
        every = list(mutations(config))
        for path, mutated, is_refused in chance.sample(every, min(40, len(every))):
            assert refused(mutated) == ([path] if is_refused else [])
            assert is_refused or path in warned(mutated)


class TestWarnings:
    @pytest.mark.parametrize("path", FIELDS)
    def test_too_long_text_gets_a_warning(self, path: str) -> None:
        for name, (_kind, _default, length) in FIELDS[path].items():
            if length:
                fits, exceeds = (placed(path, {"name": "a", name: "长" * (length + more)}) for more in (0, 1))
                assert refused(fits) == refused(exceeds) == []
                assert len(sentences(exceeds)) == 1
                assert sentences(exceeds) != sentences(fits)

    @pytest.mark.parametrize("path", FIELDS)
    def test_float_for_an_integer_gets_a_warning(self, path: str) -> None:
        for name, (kind, _default, _length) in FIELDS[path].items():
            for odd in [*ODD.get(kind, []), *(["2.5"] if kind == "integer" else [])]:
                assert warned(placed(path, {"name": "a", name: odd})) == [shown(path, name)]

    def test_null_in_a_list_gets_a_warning(self) -> None:
        assert warned({"persona": {"states": ["a", None]}}) == ["persona.states[1]"]

    def test_objects_in_a_list_of_texts_get_a_warning(self) -> None:
        states = [{"name": "正常", "keywords": ["你好"]}]

        assert warned({"persona": {"states": states}}) == ["persona.states[0]"]

    def test_values_in_items_of_lists_are_not_replaced(self) -> None:
        config = section("chat", talk_value_rules=[{"value": "0.5", "time": 5}])

        assert schema.validate(config, {}).replacements == []
        assert warned(config) == [
            "config_overrides.chat.talk_value_rules[0].time",
            "config_overrides.chat.talk_value_rules[0].value",
        ]

    @pytest.mark.parametrize(
        ("name", "field", "good", "bad", "place"),
        [
            ("chat", "talk_value_rules", {"time": "00:00-08:59"}, {"time": "8:00-9:00"}, ".time"),
            ("chat", "talk_value_rules", {"time": "22:00-24:00"}, {"time": "22:00-24:01"}, ".time"),
            ("chat", "auto_chat_value_rules", {"time": "23:59-00:00"}, {"time": "00:00–08:59"}, ".time"),
            ("chat", "auto_chat_value_rules", {"time": "09:00-22:59"}, {"time": "09:00-22:59\n"}, ".time"),
            ("chat", "talk_value_rules", {"target": "qq:1919810:group"}, {"target": "qq:1919810"}, ".target"),
            ("chat", "talk_value_rules", {"target": ""}, {"target": "*"}, ".target"),
            (
                "expression",
                "learning_list",
                ["qq:1:private", "enable", "enable", "1.0"],
                ["qq:1:channel", "enable", "enable", "1.0"],
                "[0]",
            ),
            ("expression", "learning_list", ["", "x", "enable", "1.0"], [":1:group", "x", "enable", "1.0"], "[0]"),
            ("expression", "expression_groups", ["*"], ["qq:1:group", "**"], "[1]"),
            ("expression", "learning_list", ["", "enable", "enable", "1.0"], ["*", "enable", "enable", "1.0"], "[0]"),
            ("expression", "learning_list", ["", "enable", "enable", "1.0"], "*", ""),
            ("expression", "expression_groups", ["*"], {"group": ["qq:1:group"]}, ""),
            ("expression", "allow_reflect", "qq:1", "chat_1", ""),
            ("experimental", "chat_prompts", "qq:1:group:x", "hello", ""),
            ("expression", "expression_groups", ["qq:1:group"], ["qq 1 group"], "[0]"),
            ("experimental", "chat_prompts", "qq:1:group:Be: nice\nand short", "qq:1:group", ""),
            ("experimental", "chat_prompts", "qq:1:private:x", "qq:1:private:", ""),
            ("expression", "allow_reflect", "qq:1", "qq", ""),
            ("expression", "allow_reflect", "qq:1:group", "qq:1:x", ""),
        ],
    )
    def test_wrong_format_gets_a_warning(self, name: str, field: str, good: Any, bad: Any, place: str) -> None:
        assert warned(section(name, **{field: [good]})) == []
        assert warned(section(name, **{field: [good, bad]})) == [f"config_overrides.{name}.{field}[1]{place}"]

    def test_account_in_a_wrong_format_gets_a_warning(self) -> None:
        assert warned({"bot_overrides": {"platforms": ["wx:114514", "wx"]}}) == ["bot_overrides.platforms[1]"]


class TestStoredFaults:
    """A config that was imported with a fault can be sent back as it was read."""

    @pytest.mark.parametrize(
        ("config", "path"),
        [
            ({"persona": {"reply_style": 5}}, "persona.reply_style"),
            ({"persona": {"states": "x"}}, "persona.states"),
            (section("chat", talk_value="often"), "config_overrides.chat.talk_value"),
            (section("chat", talk_value_rules="x"), "config_overrides.chat.talk_value_rules"),
            (
                section("message_receive", ban_msgs_regex=["(a+)+"]),
                "config_overrides.message_receive.ban_msgs_regex[0]",
            ),
            (section("model", model_task_config={"vlm": 5}), "config_overrides.model.model_task_config.vlm"),
        ],
    )
    def test_fault_is_refused_only_if_it_is_new(self, config: Config, path: str) -> None:
        assert refused(config) == [path]
        assert warned(config, stored=copy.deepcopy(config)) == [path]

    @pytest.mark.parametrize("config", [section("chat", talk_value="0.5"), section("mood", enable_mood=1)])
    def test_stored_fault_is_not_replaced(self, config: Config) -> None:
        found = schema.validate(config, stored=copy.deepcopy(config))

        assert (found.replacements, len(found.warnings)) == ([], 1)

    def test_another_wrong_value_is_refused(self) -> None:
        assert refused(section("chat", talk_value="x"), stored=section("chat", talk_value="y"))

    @pytest.mark.parametrize("old", [True, 1.0, "1"])
    def test_values_that_only_python_holds_equal_are_different(self, old: Any) -> None:
        assert refused({"persona": {"reply_style": 1}}, stored={"persona": {"reply_style": old}})

    def test_an_item_of_a_named_list_is_found_by_its_name(self) -> None:
        stored = model(models=[{"name": "a", "price_in": "free"}, {"name": "b"}])

        assert refused(model(models=[{"name": "b"}, {"name": "a", "price_in": "free"}]), stored) == []
        assert refused(model(models=[{"name": "b", "price_in": "free"}]), stored) == [
            "config_overrides.model.models[0].price_in"
        ]

    @pytest.mark.parametrize("name", [[], {}, 5])
    def test_stored_items_without_a_name_are_ignored(self, name: Any) -> None:
        stored = model(models=[{"name": name, "price_in": "free"}, 5])

        assert refused(model(models=[{"name": name, "price_in": "free"}]), stored) == [
            "config_overrides.model.models[0].name",
            "config_overrides.model.models[0].price_in",
        ]

    @pytest.mark.parametrize(
        "config",
        [
            {"persona": 5},
            {"bot_overrides": []},
            {"config_overrides": "x"},
            {"config_overrides": {"chat": 5}},
            model(models="x"),
            model(models=["x"]),
            model(api_providers=[{}]),
            model(models=[{"name": "a"}, {"name": "a"}]),
        ],
    )
    def test_stored_fault_that_blocks_merging_is_refused(self, config: Config) -> None:
        assert refused(config, stored=copy.deepcopy(config))


def text(config: Any) -> str:
    return json.dumps(config)


def placed(path: str, content: Any) -> Config:
    """Return a config with this content at a path of FIELDS."""
    for step in reversed(path.split(".")):
        name, is_list = step.removesuffix("[]"), step.endswith("[]")
        content = {"vlm" if name == "*" else name: [content] if is_list else content}
    result: Config = content
    return result


def shown(path: str, name: str) -> str:
    return f"{path.replace('[]', '[0]').replace('*', 'vlm')}.{name}"


def mutations(config: Config) -> Iterator[tuple[str, Config, bool]]:
    """Yield mutations of one known value: its path, the config, and whether it is refused."""
    for path, fields in FIELDS.items():
        for steps in places(config, path):
            for name, (kind, _default, length) in fields.items():
                if name in at(config, steps):
                    others = [(wrong, True) for wrong in WRONG[kind]] + [(odd, False) for odd in ODD.get(kind, [])]
                    for value, is_refused in [*others, *([("长" * (length + 1), False)] if length else [])]:
                        mutated = copy.deepcopy(config)
                        at(mutated, steps)[name] = value
                        yield written([*steps, name]), mutated, is_refused


Steps = list[str | int]


def places(config: Config, path: str) -> list[Steps]:
    """Return the steps to each object at a path of FIELDS."""
    found: list[Steps] = [[]]
    for step in path.split("."):
        names = TASKS if step == "*" else (step.removesuffix("[]"),)
        found = [[*steps, name] for steps in found for name in names if name in at(config, steps)]
        if step.endswith("[]"):
            found = [[*steps, number] for steps in found for number in range(len(at(config, steps)))]
        found = [steps for steps in found if isinstance(at(config, steps), dict | list)]
    return found


def at(config: Any, steps: Steps) -> Any:
    for step in steps:
        config = config[step]
    return config


def written(steps: Steps) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
