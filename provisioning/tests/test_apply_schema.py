"""The JSON Schema of the file, which says what `manage.py apply` takes."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml
from rest_framework import serializers

from provisioning.serializers import FileDeclaration, child_of
from tests.support.server import ROOT

pytestmark = pytest.mark.embedded

SCHEMA: dict[str, Any] = json.loads((ROOT / "docs/apply.schema.json").read_text(encoding="utf-8"))
EXAMPLE = yaml.safe_load((ROOT / "docs/examples/maim.yaml").read_text(encoding="utf-8"))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the definition that a schema refers to, or the schema."""
    return SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def test_example_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(EXAMPLE, SCHEMA, jsonschema.Draft202012Validator)


def test_schema_has_the_fields_that_the_command_takes() -> None:
    compare(FileDeclaration(), SCHEMA)


def compare(serializer: serializers.Serializer[Any], schema: dict[str, Any]) -> None:
    """Check that a schema has the fields of a serializer, with the same choices and lengths."""
    properties = schema["properties"]
    assert set(properties) == set(serializer.fields)
    assert set(schema.get("required", ())) == {name for name, field in serializer.fields.items() if field.required}
    assert schema["additionalProperties"] is False
    for name, field in serializer.fields.items():
        shown, child = resolved(properties[name]), child_of(field)
        if isinstance(field, serializers.ChoiceField):
            assert set(filter(None, shown["enum"])) == set(field.choices), name
        elif isinstance(field, serializers.CharField):
            assert shown["maxLength"] == field.max_length, name
        elif isinstance(field, serializers.IntegerField):
            assert (shown["minimum"], shown["maximum"]) == (field.min_value, field.max_value), name
        if child is not None:
            compare(child, resolved(shown.get("items", shown)))
