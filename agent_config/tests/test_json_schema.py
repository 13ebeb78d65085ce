"""The JSON Schema of a config, and its defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # has no types

from agent_config import schema
from agent_config.document import SECTIONS
from agent_config.secret_paths import Secret, rewritten
from tests.support.config_fields import FIELDS, TASKS
from tests.support.config_strategies import configs
from tests.support.configs import Config, model, secret_provider

pytestmark = pytest.mark.embedded

Schema = dict[str, Any]


@pytest.fixture
def json_schema() -> Schema:
    return schema.json_schema()


def at(json_schema: Schema, path: str) -> Schema:
    """Return the schema of the object at a path of FIELDS."""
    found = json_schema
    for step in path.split("."):
        name, is_list = step.removesuffix("[]"), step.endswith("[]")
        found = found["properties"]["vlm" if name == "*" else name]
        found = resolved(json_schema, found["items"] if is_list else found)
    return found


def resolved(json_schema: Schema, part: Schema) -> Schema:
    part = part["anyOf"][1] if "anyOf" in part else part
    found: Schema = json_schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    return found


def objects(part: Any) -> Iterator[Schema]:
    """Yield every object within."""
    if isinstance(part, dict):
        yield part
    for member in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from objects(member)


class TestFields:
    @pytest.mark.parametrize("path", FIELDS)
    def test_each_field_has_its_type_default_and_length(self, json_schema: Schema, path: str) -> None:
        known = {
            name: (resolved(json_schema, field)["type"], field.get("default"), field.get("maxLength"))
            for name, field in at(json_schema, path)["properties"].items()
        }

        assert known == FIELDS[path]
        assert all(type(known[name][1]) is type(default) for name, (_type, default, _length) in FIELDS[path].items())

    def test_the_sections_and_tasks_are_the_known_ones(self, json_schema: Schema) -> None:
        assert sorted(at(json_schema, "config_overrides")["properties"]) == sorted(SECTIONS)
        assert sorted(at(json_schema, "config_overrides.model.model_task_config")["properties"]) == sorted(TASKS)
        assert list(json_schema["properties"]) == ["persona", "bot_overrides", "config_overrides"]

    def test_the_defaults_are_those_of_the_fields_but_for_models(self) -> None:
        expected: Config = {"config_overrides": {}}
        for path, fields in FIELDS.items():
            if not path.startswith("config_overrides.model"):
                parent = expected["config_overrides"] if "." in path else expected
                parent[path.rpartition(".")[2]] = {
                    name: default for name, (_type, default, _length) in fields.items() if default is not None
                }

        assert schema.defaults() == expected

    def test_defaults_are_a_new_object_each_time(self) -> None:
        schema.defaults()["persona"]["states"].append("x")

        assert schema.defaults()["persona"]["states"] == []


class TestJSONSchema:
    def test_schema_is_valid(self, json_schema: Schema) -> None:
        Draft202012Validator.check_schema(json_schema)
        assert json_schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert json.loads(json.dumps(json_schema)) == json_schema

    @given(configs())
    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    def test_schema_accepts_any_valid_config(self, config: Config) -> None:
        assert [error.json_path for error in Draft202012Validator(schema.json_schema()).iter_errors(config)] == []

    @pytest.mark.parametrize("wrong", [{"persona": 5}, {"bot_overrides": {"nickname": 5}}, model(models=[{}])])
    def test_schema_refuses_wrong_types(self, json_schema: Schema, wrong: Config) -> None:
        assert not Draft202012Validator(json_schema).is_valid(wrong)

    def test_every_object_and_field_has_a_title_and_a_description(self, json_schema: Schema) -> None:
        for part in (json_schema, *json_schema["$defs"].values()):
            assert part["additionalProperties"] is True
            for described in (
                part,
                *({**resolved(json_schema, field), **field} for field in part["properties"].values()),
            ):
                assert described["title"]
                assert described["description"].endswith(".")

    def test_every_section_has_a_group(self, json_schema: Schema) -> None:
        groups = [group["name"] for group in json_schema["x-groups"]]
        paths = ["persona", "bot_overrides", *(f"config_overrides.{name}" for name in SECTIONS)]

        assert {at(json_schema, path)["x-group"] for path in paths} == set(groups)
        assert all(group["title"] for group in json_schema["x-groups"])

    def test_secrets_are_write_only(self, json_schema: Schema) -> None:
        config = model(api_providers=[secret_provider()])
        config["config_overrides"]["maim_message"] = {"auth_token": ["x"]}

        hidden = [part for part in objects(json_schema) if part.get("writeOnly")]

        found: list[Secret] = []
        rewritten(config, found.append)
        assert len(hidden) == len(found)
        assert all("password" in (part.get("format"), part.get("items", {}).get("format")) for part in hidden)

    def test_usual_values_are_not_enforced(self, json_schema: Schema) -> None:
        chance, mode = (
            at(json_schema, "config_overrides.chat")["properties"][name]
            for name in ("talk_value", "interest_rate_mode")
        )

        assert (chance["x-minimum"], chance["x-maximum"]) == (0, 1)
        assert "fast" in mode["x-enum"]
        assert mode["examples"] == mode["x-enum"]
        assert not any({"enum", "minimum", "maximum"} & part.keys() for part in objects(json_schema))

    def test_a_persona_may_be_a_text(self, json_schema: Schema) -> None:
        kinds = json_schema["properties"]["persona"]["anyOf"]

        assert [resolved(json_schema, kind)["type"] for kind in kinds] == ["string", "object"]

    def test_titles_are_in_the_active_language(self) -> None:
        with translation.override("zh-hans"):
            json_schema = schema.json_schema()

        texts = [
            part[key]
            for part in objects(json_schema)
            for key in ("title", "description")
            if isinstance(part.get(key), str)
        ]
        assert [text for text in texts if not re.search("[\u4e00-\u9fff]", text)] == []
        assert schema.json_schema()["title"] == "Agent config"
