"""Round trips of random configs: they read back as they were set, and can be sent back as they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from agents.tests.config_doors import Door, shown
from tests.support.config_strategies import configs, json_values
from tests.support.configs import Config

pytestmark = [pytest.mark.single, pytest.mark.django_db]
thoroughly = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
QUERIES = ("", "?replace=1")


def text(config: Any) -> str:
    return json.dumps(config)


def check_reads_back(door: Door, config: Config) -> None:
    """Check that the config reads back as it was set, with its secrets stored and masked."""
    assert text(door.get()) == text(shown(config))
    assert text(door.stored()) == text(config)


@thoroughly
@given(config=configs())
def test_any_config_reads_back_and_can_be_sent_back(door: Door, config: Config) -> None:
    door.create()

    assert text(door.put(config)) == text(shown(config))

    check_reads_back(door, config)
    before = door.state()
    for query in QUERIES:
        assert text(door.put(door.get(), query)) == text(shown(config))
        check_reads_back(door, config)
        assert door.state() == before, "nothing changed, and no version, entry or audit row was made"


@thoroughly
@given(config=configs())
def test_config_of_a_new_agent_reads_back(door: Door, config: Config) -> None:
    door.create(config)

    check_reads_back(door, config)
    before = door.state()
    door.change(config=door.get())
    check_reads_back(door, config)
    assert door.state() == before


@thoroughly
@given(first=configs(), second=configs())
def test_a_config_that_replaces_another_leaves_nothing_of_it(door: Door, first: Config, second: Config) -> None:
    door.create(first)

    door.put(second, "?replace=1")

    check_reads_back(door, second)


@thoroughly
@given(config=configs())
def test_null_for_every_key_leaves_nothing(door: Door, config: Config) -> None:
    door.create(config)

    door.put(dict.fromkeys(config))

    check_reads_back(door, {})


@thoroughly
@given(first=json_values(), second=json_values())
def test_objects_merge_and_other_values_replace(door: Door, first: Any, second: Any) -> None:
    door.create({"own": first})

    door.put({"own": second})

    check_reads_back(door, {"own": merged(first, second)})


def merged(first: Any, second: Any) -> Any:
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    return {**first, **{key: merged(first.get(key), value) for key, value in second.items()}}
