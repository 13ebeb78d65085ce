"""The system's own models and the bots' defaults: the lowest layer of every config.

From the TOML files an operator names (MAIMBOT_MODEL_CONFIG_PATH, MAIMBOT_BOT_CONFIG_TEMPLATE_PATH), read
again when they change, else from the ones that come with maim.
"""

from __future__ import annotations

import logging
import tomllib
from pathlib import Path
from typing import Any

from django.conf import settings

from maim.common.text import fold

log = logging.getLogger("maim.config")

_BUILT_IN = Path(__file__).parent / "defaults"


class _TomlFile:
    """A TOML file, parsed again when it changes; while it is broken, what it last held."""

    def __init__(self, built_in: Path) -> None:
        self._built_in = built_in
        self._version: tuple[Path, int, int] | None = None
        self._content: dict[str, Any] = {}

    def content(self, configured: Path | None) -> dict[str, Any]:
        path = configured or self._built_in
        try:
            stat = path.stat()
            version = (path, stat.st_mtime_ns, stat.st_size)
            if version != self._version:
                self._content = tomllib.loads(path.read_text(encoding="utf-8"))
                self._version = version
        except (OSError, ValueError) as error:
            log.error("%s cannot be read and is not in use: %s", path, error)
            if self._version is None:
                return tomllib.loads(self._built_in.read_text(encoding="utf-8"))
        return self._content


_model_file = _TomlFile(_BUILT_IN / "model_config.toml")
_bot_file = _TomlFile(_BUILT_IN / "bot_config.toml")


def models() -> dict[str, Any]:
    """`{providers, models, defaults}`; of a provider exactly these four fields, never its key."""
    content = _model_file.content(settings.MODEL_CONFIG_PATH)
    return {
        "providers": [
            {
                "name": provider.get("name"),
                "client_type": provider.get("client_type", "openai"),
                "base_url": provider.get("base_url"),
                "is_server_provider": True,
            }
            for provider in content.get("api_providers", [])
        ],
        "models": content.get("models", []),
        "defaults": content.get("model_task_config", {}),
    }


def bot_defaults() -> dict[str, Any]:
    """The bots' default sections, without the token of their message server."""
    content = _bot_file.content(settings.BOT_CONFIG_PATH)
    sections = {name: value for name, value in content.items() if name != "inner"}
    if isinstance(message := sections.get("maim_message"), dict):
        sections["maim_message"] = {key: value for key, value in message.items() if key != "auth_token"}
    return sections


def provider_names() -> frozenset[str]:
    """The folded names of the system's providers."""
    return _folded_names("api_providers")


def model_names() -> frozenset[str]:
    """The folded names of the system's models."""
    return _folded_names("models")


def _folded_names(kind: str) -> frozenset[str]:
    items = _model_file.content(settings.MODEL_CONFIG_PATH).get(kind, [])
    return frozenset(fold(item["name"]) for item in items if isinstance(item.get("name"), str))
