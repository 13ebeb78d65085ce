"""The system's own models and the bots' defaults: the lowest layer of every config.

From the TOML files an operator names (MAIMBOT_MODEL_CONFIG_PATH, MAIMBOT_BOT_CONFIG_TEMPLATE_PATH), read
again when they change, else from the ones that come with maim.
"""

from __future__ import annotations

import logging
import math
import re
import tomllib
from pathlib import Path
from typing import Any

from django.conf import settings

from maim.common.text import fold

log = logging.getLogger("maim.config")

_BUILT_IN = Path(__file__).parent / "defaults"
_Version = tuple[int, int] | None


class _TomlFile:
    """A TOML file, read again when it changes; while it is broken, what it last held.

    `tables` and `lists` are the keys that have to be tables, and lists of named tables.
    """

    def __init__(self, built_in: Path, *, tables: tuple[str, ...] = (), lists: tuple[str, ...] = ()) -> None:
        self._built_in = built_in
        self._tables, self._lists = tables, lists
        self._read: tuple[Path, _Version] | None = None
        self._content: dict[str, Any] = {}

    def content(self, configured: Path | None) -> dict[str, Any]:
        path = configured or self._built_in
        found = path, _version(path)
        if found != self._read:
            self._content = self._renewed(path)
            self._read = found
        return self._content

    def _renewed(self, path: Path) -> dict[str, Any]:
        try:
            return self._parsed(path)
        except (OSError, ValueError) as error:
            log.error("%s is not in use: %s", path, error)
        was_good_before = self._read is not None and self._read[0] == path
        return self._content if was_good_before else self._parsed(self._built_in)

    def _parsed(self, path: Path) -> dict[str, Any]:
        content = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=_finite)
        if wrong := [key for key in self._tables if not isinstance(content.get(key, {}), dict)]:
            raise ValueError(f"{wrong[0]} must be a table")
        if wrong := [key for key in self._lists if not _is_list_of_named(content.get(key, []))]:
            raise ValueError(f"{wrong[0]} must be a list of tables, each with a name")
        return content


def _version(path: Path) -> _Version:
    """Another value after each change of the file; None while there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits} is not a number that JSON knows")
    return number


def _is_list_of_named(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and isinstance(item.get("name"), str) for item in value
    )


_model_file = _TomlFile(
    _BUILT_IN / "model_config.toml", tables=("model_task_config",), lists=("api_providers", "models")
)
_bot_file = _TomlFile(_BUILT_IN / "bot_config.toml")

# Whatever an operator writes into these files, nobody is to read a secret out of them.
_SECRET_KEY = re.compile(r"(^|_)(api_?keys?|token|secret|password)$", re.IGNORECASE)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(member) for key, member in value.items() if not _SECRET_KEY.search(key)}
    if isinstance(value, list):
        return [_without_secrets(member) for member in value]
    return value


def models() -> dict[str, Any]:
    """`{providers, models, defaults}`; of a provider exactly these four fields, never its key."""
    content = _model_file.content(settings.MODEL_CONFIG_PATH)
    return {
        "providers": [
            {
                "name": provider["name"],
                "client_type": provider.get("client_type", "openai"),
                "base_url": provider.get("base_url"),
                "is_server_provider": True,
            }
            for provider in content.get("api_providers", [])
        ],
        "models": _without_secrets(content.get("models", [])),
        "defaults": _without_secrets(content.get("model_task_config", {})),
    }


def bot_defaults() -> dict[str, Any]:
    """The bots' default sections, without any secret."""
    content = _bot_file.content(settings.BOT_CONFIG_PATH)
    return {name: _without_secrets(value) for name, value in content.items() if name != "inner"}


def provider_names() -> frozenset[str]:
    """The folded names of the system's providers."""
    return _folded_names("api_providers")


def model_names() -> frozenset[str]:
    """The folded names of the system's models."""
    return _folded_names("models")


def _folded_names(kind: str) -> frozenset[str]:
    items = _model_file.content(settings.MODEL_CONFIG_PATH).get(kind, [])
    return frozenset(fold(item["name"]) for item in items)
