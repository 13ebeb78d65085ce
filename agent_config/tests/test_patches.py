"""Patches between configs: correct, short, and exact about types."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_config.patches import ROOM, make_patch

pytestmark = pytest.mark.embedded

SCALARS = st.sampled_from((None, 0, 1, 1.0, True, "", "a"))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(("a", "b/~", "")), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), VALUES), st.dictionaries(st.sampled_from("abc"), VALUES))
def test_patch_leads_from_one_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    made = jsonpatch.apply_patch(before, make_patch(before, after))

    assert json.dumps(made, sort_keys=True) == json.dumps(after, sort_keys=True)


def test_inserted_item_is_one_operation() -> None:
    assert make_patch({"a": [1, 2, 3]}, {"a": [1, 9, 2, 3]}) == [{"op": "add", "path": "/a/1", "value": 9}]
    assert make_patch({"a": [1, 9, 2, 3]}, {"a": [1, 2, 3]}) == [{"op": "remove", "path": "/a/1"}]


def test_the_same_number_in_another_type_is_a_change() -> None:
    assert make_patch({"a": 1}, {"a": True}) == [{"op": "replace", "path": "/a", "value": True}]
    assert make_patch({"a": [1]}, {"a": [1.0]}) == [{"op": "replace", "path": "/a/0", "value": 1.0}]


def test_a_shuffled_list_is_replaced_as_a_whole() -> None:
    before = [f"text {number}" for number in range(5000)]
    after = random.Random(1).sample(before, len(before))  # the same at every run

    assert make_patch({"a": before, "b": 1}, {"a": after, "b": 2}) == [
        {"op": "replace", "path": "/a", "value": after},
        {"op": "replace", "path": "/b", "value": 2},
    ]


def test_long_keys_are_not_repeated() -> None:
    before, after = ({"x" * 10_000: {str(number): value for number in range(1000)}} for value in (1, 2))
    made = make_patch(before, after)

    assert jsonpatch.apply_patch(before, made) == after
    assert len(json.dumps(made)) < len(json.dumps(after)) + ROOM
