"""Providers and models, the items of a config that have names by which they are referred to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from agent_config.document import Config, section
from agent_config.schema import Place
from core.text import fold_name

MODEL: Place = ("config_overrides", "model")
PROVIDERS: Place = (*MODEL, "api_providers")
MODELS: Place = (*MODEL, "models")


@lru_cache(maxsize=10_000)
def folded(name: str) -> str:
    """Return the form in which names of providers and models are compared.

    Case, width and surrounding blanks make no difference, so that no item can pose as an operator's under a name that
    looks the same. Bots compare names exactly.
    """
    return fold_name(name)


def named_items(config: Config, kind: str) -> Iterator[tuple[int, Config]]:
    """Yield the items of `api_providers` or `models` that have a name, with their numbers."""
    found = section(config, "model").get(kind)
    for number, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            yield number, item


def provider_name(model: Config) -> str:
    """Return the folded name of the provider that a model names, in either spelling; empty if it names none."""
    name = model.get("api_provider", model.get("provider_name"))
    return folded(name) if isinstance(name, str) else ""
