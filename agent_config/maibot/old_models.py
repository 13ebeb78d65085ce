"""The models inside bot files of MaiBot 0.5 to 0.9, where each task named its model, provider and price itself."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from agent_config.document import Config
from agent_config.schema import ConfigWarning

_RENAMED = {"name": "model_identifier", "provider": "api_provider", "pri_in": "price_in", "pri_out": "price_out"}
_RENAMED |= {"temp": "temperature", "stream": "force_stream_mode"}
_EXTRA = ("enable_thinking", "thinking_budget")
_TASKS = {"replyer_1": "replyer", "replyer_2": "replyer", "llm_reasoning": "replyer", "llm_normal": "replyer"}


def is_old(model: Any) -> bool:
    """Return whether a file's `model` section has tasks that name their models themselves."""
    return isinstance(model, dict) and any(_is_task(value) for value in model.values())


def converted(model: Config) -> tuple[Config, ConfigWarning]:
    """Return the section with models, providers and tasks apart, and a sentence about it.

    What is no task is kept as it is.
    """
    models: dict[str, Config] = {}
    providers: dict[str, Config] = {}
    tasks: dict[str, Config] = {}
    rest: Config = {}
    for task, value in model.items():
        if not _is_task(value):
            rest[task] = value
            continue
        item = {"name": value["name"], **_item(value)}
        if models.setdefault(item["name"], item) != item:  # the same model with other settings
            item["name"] = f"{value['name']} ({task})"
            models[item["name"]] = item
        if isinstance(provider := item.get("api_provider"), str) and provider:
            providers[provider] = {"name": provider}
        names = tasks.setdefault(_TASKS.get(task, task), {"model_list": []})["model_list"]
        if item["name"] not in names:
            names.append(item["name"])
    found = {
        "models": list(models.values()),
        "api_providers": list(providers.values()),
        "model_task_config": tasks,
        **rest,
    }
    sentence = _("the models of the bot's file, in the form of 0.5 to 0.9, are now models, providers and tasks")
    return found, ConfigWarning("config_overrides.model", sentence)


def _is_task(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and value["name"] != ""


def _item(value: Config) -> Config:
    extra = {key: value[key] for key in _EXTRA if key in value}
    item = {_RENAMED.get(key, key): member for key, member in value.items() if key not in _EXTRA}
    return {**item, "extra_params": extra} if extra else item
