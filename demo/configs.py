"""Configs of agents, and the versions through which they went."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from agent_config import system
from agent_config.document import Config
from agent_config.patches import Patch, masked_patch
from agent_config.schema import DEFAULT
from agent_config.updates import apply_update

_PERSONAS = (
    "热情、耐心、简洁，遇到不确定的问题会先确认再回答",
    "一个爱吐槽但靠谱的群友，说话简短",
    "专业的售后顾问，先安抚情绪，再给出步骤",
    "温柔的夜班客服，不催促，不重复",
    "Friendly, patient, and brief",
    "A dry-witted regular of the chat who knows the product well",
    "A careful consultant who asks before guessing",
    "Cheerful, curious, fond of short answers",
)
_MODEL: Config = {
    "api_providers": [
        {
            "name": "deepseek",
            "client_type": "openai",
            "base_url": "https://api.deepseek.com/v1",
            "api_key": "sk-made-up-for-a-demonstration",
        }
    ],
    "models": [{"name": "chat", "model_identifier": "deepseek-chat", "api_provider": "deepseek"}],
}


@dataclass(frozen=True)
class History:
    """The states of a config, with its secrets sealed, and the patch to each from the one before."""

    states: list[Config]
    patches: list[Patch]


def histories() -> list[History]:
    """Return the histories from which those of agents are taken."""
    return [_history(persona, has_model=number % 3 == 0) for number, persona in enumerate(_PERSONAS)]


def _history(persona: str, *, has_model: bool) -> History:
    changes: list[Any] = [
        {"persona": persona, "config_overrides": {"chat": {"talk_value": 0.5}}},
        {"config_overrides": {"chat": {"talk_value": 0.3, "max_context_size": 30}}},
        {"config_overrides": {"emoji": {"emoji_chance": 0.2}}},
        {"config_overrides": {"chat": {"talk_value": 0.4}, "emoji": {"emoji_chance": 0.1}}},
    ]
    if has_model:
        changes[1]["config_overrides"]["model"] = _MODEL
    states: list[Config] = [{}]
    below = [system.defaults(DEFAULT).layer]
    for change in changes:
        states.append(apply_update(states[-1], change, below=below, strict=True).config)
    patches = [masked_patch(before, after) for before, after in pairwise(states)]
    return History(states[1:], patches)
