"""The known places in a config document."""

from __future__ import annotations

from typing import Any, TypeGuard

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
# Lists whose items have names, by which they are merged.
NAMED_LISTS = (("config_overrides", "model", "api_providers"), ("config_overrides", "model", "models"))
# In `tenant_config`, whose other keys are free for the tenant to use.
AGENT_DEFAULTS = "agent_defaults"


def is_token(value: Any) -> bool:
    """Return whether a value looks like a token of Fernet; that of a list stands in brackets."""
    return isinstance(value, str) and value.removeprefix("[").startswith("gAAAA")


def is_sealed(value: Any) -> bool:
    """Return whether a stored value is a sealed secret (agent_config.secrets)."""
    return isinstance(value, dict) and len(value) == 1 and is_token(value.get(SEALED))


def is_object(value: Any) -> TypeGuard[Config]:
    """Return whether a stored value is merged key by key. A sealed secret is not, because it stands for a text."""
    return isinstance(value, dict) and not is_sealed(value)


def agent_defaults(tenant_config: dict[str, Any] | None) -> Config:
    """Return the stored config that a tenant sets for all of its agents."""
    found = (tenant_config or {}).get(AGENT_DEFAULTS)
    return found if isinstance(found, dict) else {}


def section(config: Config, name: str) -> Config:
    """Return `config_overrides.<name>`, or an empty object."""
    overrides = config.get("config_overrides")
    found = overrides.get(name) if isinstance(overrides, dict) else None
    return found if isinstance(found, dict) else {}
