"""What a config may not say, whatever its merge."""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext as _

from agents.config import system
from agents.config.document import Config, section
from agents.errors import BadConfig
from maim.common.text import fold

MAX_BYTES = 256 * 1024


def check_sent(sent: Config) -> None:
    """Raises BadConfig if a sent provider or model takes a name the system defines, or uses its provider.

    A bot would send the operator's key to whatever `base_url` a namesake of its provider gives.
    """
    errors: dict[str, list[str]] = {}
    model = section(sent, "model")
    theirs = system.provider_names()
    for number, provider in enumerate(_items(model, "api_providers")):
        if _folded(provider.get("name")) in theirs:
            errors[f"config_overrides.model.api_providers[{number}].name"] = [
                _("the system has a provider of this name")
            ]
    for number, item in enumerate(_items(model, "models")):
        path = f"config_overrides.model.models[{number}]"
        if _folded(item.get("name")) in system.model_names():
            errors[f"{path}.name"] = [_("the system has a model of this name")]
        for key in ("api_provider", "provider_name"):
            if _folded(item.get(key)) in theirs:
                errors[f"{path}.{key}"] = [_("a model of your own needs a provider of your own")]
    if errors:
        raise BadConfig(errors)


def check_size(config: Config) -> None:
    """Raises BadConfig if the config, as stored, is larger than MAX_BYTES."""
    if len(json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_BYTES:
        raise BadConfig({"config": [_("the config may have at most 256 KiB")]})


def _items(model: Config, name: str) -> list[dict[str, Any]]:
    found = model.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _folded(name: Any) -> str | None:
    return fold(name) if isinstance(name, str) else None
