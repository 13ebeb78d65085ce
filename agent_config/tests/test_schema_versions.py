"""The schemas by name: what each knows, its defaults, its texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_origin

import pytest
from django.utils import translation
from jsonschema import Draft202012Validator

from agent_config import schema, system
from agent_config.schema.objects import OpenObject, nested_object, schema_extra
from agent_config.schema.versions import get_schema
from tests.support.maibot_1_2 import FIELDS, document

pytestmark = pytest.mark.embedded

NEW = "maibot-1.2"
# maim's own, which the bot does not read.
OWN = {
    "config_overrides.model.api_providers[].is_server_provider",
    "config_overrides.model.models[].provider_name",
}


def fields(kind: type[OpenObject], path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield the path, the type and the default of every field, as in FIELDS."""
    for name, known in kind.model_fields.items():
        here = f"{path}{name}"
        within, is_list = nested_object(known)
        if within is None:
            yield here, kind_of(known), known.default
        elif is_list:
            yield f"{here}[]", "list[object]", None
            yield from fields(within, f"{here}[].")
        else:
            yield from fields(within, f"{here}.")


def kind_of(known: Any) -> str:
    if "x-enum" in schema_extra(known) and known.annotation is str:
        return f"enum{schema_extra(known)['x-enum']}"
    if get_origin(known.annotation) is list:
        return "list[string]"
    names = {str: "string", int: "integer", float: "number", bool: "boolean"}
    return names.get(known.annotation, "object")


@pytest.fixture(scope="module")
def known() -> dict[str, tuple[str, Any]]:
    return {path: (kind, default) for path, kind, default in fields(get_schema(NEW).root)}


def test_schema_of_1_2_has_exactly_the_fields_of_the_bot(known: dict[str, Any]) -> None:
    assert known.keys() - OWN == FIELDS.keys()


@pytest.mark.parametrize("path", FIELDS)
def test_field_of_1_2_has_the_bots_type_and_default(known: dict[str, Any], path: str) -> None:
    kind, default = FIELDS[path]
    our_kind, our_default = known[path]

    # An API key has no default, and the usual values of a protocol are ours.
    assert our_kind == kind.removesuffix("|null") or path.endswith(".client_type")
    if default is not None and not path.endswith(("[].name", "base_url")) and "[].models[]." not in path:
        assert our_default == default or (path.startswith("config_overrides.model.models[].") and our_default is None)


def test_document_of_all_defaults_is_valid_without_a_warning() -> None:
    found = schema.validate(document(), {}, NEW)

    assert (found.errors, found.warnings, found.replacements) == ([], [], [])
    Draft202012Validator.check_schema(schema.json_schema(NEW))
    assert list(Draft202012Validator(schema.json_schema(NEW)).iter_errors(document())) == []


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("chat", "reply_timing", "talk_value"), "much", "must be a number"),
        (("visual",), 5, "must be an object"),
        (("keyword_reaction", "keyword_rules"), [{"regex": ["(a+)+$"]}], ""),
        (("mcp", "servers"), "x", "must be a list"),
    ],
)
def test_schema_of_1_2_refuses_what_the_older_one_does_not_know(path: Any, value: Any, sentence: str) -> None:
    for step in reversed(path):
        value = {step: value}
    config = {"config_overrides": value}

    [error] = schema.validate(config, {}, NEW).errors
    assert sentence in error.sentence
    assert schema.validate(config, {}).errors == []


def test_secrets_of_1_2_are_write_only_in_its_json_schema() -> None:
    hidden = [part for part in objects(schema.json_schema(NEW)) if part.get("writeOnly")]
    assert len(hidden) == 5  # base_url, api_key, auth_token, api_server_allowed_api_keys, bearer_token


@pytest.mark.parametrize("name", schema.NAMES)
def test_every_title_and_description_is_chinese_in_chinese(name: str) -> None:
    with translation.override("zh-hans"):
        found = schema.json_schema(name)

    texts = [part[key] for part in objects(found) for key in ("title", "description") if isinstance(part.get(key), str)]
    # Names of protocols stay as they are.
    assert {text for text in texts if not re.search("[\u4e00-\u9fff]", text)} <= {"MCP", "URI"}
    assert schema.json_schema(name)["title"] == "Agent config"


def test_lowest_layer_of_each_schema_is_valid_by_it() -> None:
    for name in schema.NAMES:
        assert schema.warnings(system.defaults(name).layer.config, name, needs_keys=False) == []

    older, newer = (system.defaults(name) for name in schema.NAMES)
    assert older.fingerprint != newer.fingerprint
    assert newer.layer.config["config_overrides"]["chat"]["reply_timing"]["talk_value"] == 1
    assert "talk_value" not in newer.layer.config["config_overrides"]["chat"]


def test_name_of_a_later_version_of_maim_means_the_default_schema() -> None:
    assert get_schema("maibot-9") == get_schema(schema.DEFAULT)


def objects(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
    for member in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from objects(member)
