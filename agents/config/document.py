"""The known places in a config document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Config = dict[str, Any]

MASK = "********"
SEALED = "$sealed"
SECTIONS = (
    "chat",
    "chinese_typo",
    "debug",
    "dream",
    "emoji",
    "experimental",
    "expression",
    "jargon",
    "keyword_reaction",
    "lpmm_knowledge",
    "maim_message",
    "memory",
    "message_receive",
    "model",
    "mood",
    "plugin",
    "relationship",
    "response_post_process",
    "response_splitter",
    "telemetry",
    "tool",
    "voice",
)  # of config_overrides; what stands beside them is kept as it was sent
# Lists whose items have names, and are merged by them.
NAMED_LISTS = (("config_overrides", "model", "api_providers"), ("config_overrides", "model", "models"))
PROVIDER_SECRETS = ("api_key", "base_url")


def is_sealed(value: Any) -> bool:
    """Whether a stored value, in a secret's place, is sealed (agents.config.secrets)."""
    return isinstance(value, dict) and value.keys() == {SEALED}


def section(config: Config, name: str) -> Config:
    """`config_overrides.<name>`, or an empty object."""
    overrides = config.get("config_overrides")
    found = overrides.get(name) if isinstance(overrides, dict) else None
    return found if isinstance(found, dict) else {}


def secret_places(config: Config) -> Iterator[tuple[Config, str, str]]:
    """Every secret that is set, as (the object that holds it, its key, its path)."""
    model = section(config, "model")
    providers = model.get("api_providers")
    for number, provider in enumerate(providers if isinstance(providers, list) else ()):
        if isinstance(provider, dict):
            for key in PROVIDER_SECRETS:
                if provider.get(key):
                    yield provider, key, f"config_overrides.model.api_providers[{number}].{key}"
    message = section(config, "maim_message")
    if message.get("auth_token"):
        yield message, "auth_token", "config_overrides.maim_message.auth_token"
