"""A refused config gets all its errors in one response: values, taken names and masks."""

from __future__ import annotations

import pytest

from agent_config.document import Config
from agent_config.errors import BadConfig
from agent_config.layers import Layer
from agent_config.updates import apply_update

pytestmark = pytest.mark.embedded

SYSTEM = Layer(
    "default",
    {"config_overrides": {"model": {"api_providers": [{"name": "system", "api_key": "sk"}], "models": []}}},
    is_trusted=True,
)
WRONG: Config = {
    "config_overrides": {
        "chat": {"talk_value": "often"},
        "model": {
            "api_providers": [{"name": "System"}, {"name": "own", "api_key": "********"}],
            "models": [{"name": "m", "api_provider": "system"}],
            "model_task_config": {"vlm": {"model_list": ["gone"]}},
        },
    }
}


def errors_of(sent: Config, *, strict: bool = False) -> set[str]:
    with pytest.raises(BadConfig) as refused:
        apply_update({}, sent, below=[SYSTEM], strict=strict)
    return set(refused.value.errors)


def test_every_kind_of_error_is_named_at_once() -> None:
    assert errors_of(WRONG) == {
        "config_overrides.chat.talk_value",
        "config_overrides.model.api_providers[0].name",
        "config_overrides.model.api_providers[1].api_key",
        "config_overrides.model.models[0].api_provider",
    }


def test_strict_handling_names_warnings_with_the_errors() -> None:
    assert errors_of(WRONG, strict=True) == {
        *errors_of(WRONG),
        "config_overrides.model.model_task_config.vlm.model_list[0]",
    }


def test_errors_that_prevent_merging_are_named_with_all_others() -> None:
    overrides = {**WRONG["config_overrides"], "mood": "low"}

    assert errors_of({"persona": 7, "config_overrides": overrides}) == {
        "persona",
        "config_overrides.mood",
        "config_overrides.chat.talk_value",
        "config_overrides.model.api_providers[0].name",
        "config_overrides.model.api_providers[1].api_key",
        "config_overrides.model.models[0].api_provider",
    }


def test_a_path_with_two_faults_has_two_sentences() -> None:
    long_name = "x" * 150
    below = Layer(
        "default",
        {"config_overrides": {"model": {"api_providers": [{"name": long_name, "api_key": "sk"}]}}},
        is_trusted=True,
    )

    with pytest.raises(BadConfig) as refused:
        apply_update(
            {}, {"config_overrides": {"model": {"api_providers": [{"name": long_name}]}}}, below=[below], strict=True
        )

    assert len(refused.value.errors["config_overrides.model.api_providers[0].name"]) == 2
