"""Configs for tests, and parts of them."""

from __future__ import annotations

from typing import Any

from agent_config.secrets import opened
from agents.models import Agent

Config = dict[str, Any]
MASK = "********"


def stored() -> Config:
    """Return the stored config of the one agent, with its secrets."""
    return opened(Agent.unscoped.get().config)


def model(**parts: Any) -> Config:
    return {"config_overrides": {"model": parts}}


def provider(name: str = "mine", **fields: Any) -> Config:
    return {"name": name, "client_type": "openai", **fields}


def secret_provider(name: str = "mine") -> Config:
    return provider(name, base_url="https://mine.example", api_key="sk-mine")
