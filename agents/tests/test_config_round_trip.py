"""Round trips of random configs: they read back as they were set, and can be sent back as they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from agents.tests.api import AgentApi, shown
from tests.support.config_strategies import configs, json_values
from tests.support.configs import Config
from tests.support.examples import examples

pytestmark = [pytest.mark.single, pytest.mark.django_db]
thoroughly = examples(6)
QUERIES = ("", "?replace=1")


def text(config: Any) -> str:
    return json.dumps(config)


def check_reads_back(api: AgentApi, config: Config) -> None:
    """Check that the config reads back as it was set, with its secrets stored and masked."""
    assert text(api.get()) == text(shown(config))
    assert text(api.stored()) == text(config)


@thoroughly
@given(config=configs())
def test_any_config_reads_back_and_can_be_sent_back(api: AgentApi, config: Config) -> None:
    api.create()

    assert text(api.put(config)) == text(shown(config))

    check_reads_back(api, config)
    before = api.state()
    for query in QUERIES:
        assert text(api.put(api.get(), query)) == text(shown(config))
        check_reads_back(api, config)
        assert api.state() == before, "nothing changed, and no version, entry or audit row was made"


@thoroughly
@given(config=configs())
def test_config_of_a_new_agent_reads_back(api: AgentApi, config: Config) -> None:
    api.create(config)

    check_reads_back(api, config)
    before = api.state()
    api.change(config=api.get())
    check_reads_back(api, config)
    assert api.state() == before


@thoroughly
@given(first=configs(), second=configs())
def test_a_config_that_replaces_another_leaves_nothing_of_it(api: AgentApi, first: Config, second: Config) -> None:
    api.create(first)

    api.put(second, "?replace=1")

    check_reads_back(api, second)


@thoroughly
@given(config=configs())
def test_null_for_every_key_leaves_nothing(api: AgentApi, config: Config) -> None:
    api.create(config)

    api.put(dict.fromkeys(config))

    check_reads_back(api, {})


@thoroughly
@given(first=json_values(), second=json_values())
def test_objects_merge_and_other_values_replace(api: AgentApi, first: Any, second: Any) -> None:
    api.create({"own": first})

    api.put({"own": second})

    check_reads_back(api, {"own": merged(first, second)})


def merged(first: Any, second: Any) -> Any:
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    return {**first, **{key: merged(first.get(key), value) for key, value in second.items()}}
