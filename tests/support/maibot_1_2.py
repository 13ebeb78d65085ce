"""The fields of MaiBot 1.2's config: the type and the default of each path, as the bot itself declares them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.configs import Config

FIELDS: dict[str, tuple[str, Any]] = {
    path: (kind, default)
    for path, (kind, default) in json.loads(
        (Path(__file__).parent / "maibot_1_2_fields.json").read_text(encoding="utf-8")
    ).items()
}
_EMPTY: dict[str, Any] = {"string": "一段文字", "list[string]": [], "object": {}}
# Names that other values refer to.
_NAMES = {
    "config_overrides.model.api_providers[].name": "provider",
    "config_overrides.model.models[].name": "model",
    "config_overrides.model.models[].api_provider": "provider",
    "config_overrides.model.models[].model_identifier": "maker/model",
    "config_overrides.model.api_providers[].base_url": "https://api.example.com/v1",
    "config_overrides.model.api_providers[].api_key": "sk-of-the-provider",
}


def document() -> Config:
    """Return a config with every field at its default, and one item in each list of objects."""
    found: Config = {}
    for path, (kind, default) in sorted(FIELDS.items()):
        holder = found
        *parents, name = path.split(".")
        for parent in parents:
            holder = _within(holder, parent)
        if name.endswith("[]"):
            _within(holder, name)
        else:
            value = _NAMES.get(path, default)
            value = _EMPTY.get(kind) if value is None else value
            if value is not None:
                holder[name] = value
    return found


def _within(holder: Config, step: str) -> Config:
    """Return the object at a step, or the one item of the list there."""
    if not step.endswith("[]"):
        within: Config = holder.setdefault(step, {})
        return within
    items = holder.setdefault(step[:-2], [{}])
    item: Config = items[0]
    return item
