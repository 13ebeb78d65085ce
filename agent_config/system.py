"""The system's models and the bots' defaults, which are the lowest layer of every config.

They are read from the operator's TOML files (MAIMBOT_MODEL_CONFIG_PATH, MAIMBOT_BOT_CONFIG_TEMPLATE_PATH) whenever
these change, or else from the files that come with maim.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.utils import translation

from agent_config import layers, schema, secrets
from agent_config.document import SEALED, Config
from agent_config.layers import Layer
from agent_config.maibot.places import in_config, schema_of, version_of
from agent_config.secret_paths import reserved
from core.file_text import decode_file

log = logging.getLogger("maim.config")

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BUILT_IN = Path(__file__).parent / "defaults"
_Version = tuple[int, int] | None


class _TomlFile:
    """A TOML file that is read again when it changes. While it is invalid, its last valid content is in use.

    The values of the keys `tables` must be tables, those of `lists` must be lists of named tables.
    """

    def __init__(self, built_in: Path, *, tables: tuple[str, ...] = (), lists: tuple[str, ...] = ()) -> None:
        self._built_in = built_in
        self._tables, self._lists = tables, lists
        self._read: tuple[Path, _Version] | None = None
        self._content: dict[str, Any] = {}

        self.problem: str | None = None  # the reason why the file is not in use
        self.is_built_in = False  # whether the content is that of the built-in file

    @property
    def in_use(self) -> dict[str, Any]:
        """The content that was read last."""
        return self._content

    def content(self, configured: Path | None) -> dict[str, Any]:
        path = configured or self._built_in
        found = path, _version(path)
        if found != self._read:
            self._content = self._renewed(path)
            self._read = found
        return self._content

    def _renewed(self, path: Path) -> dict[str, Any]:
        try:
            # The request that happens to read the file first may be in another language than the log.
            with translation.override(settings.LANGUAGE_CODE):
                content = self._parsed(path)
        except (OSError, ValueError) as error:
            log.error("%s is not in use: %s", path, error)
            self.problem = f"{path.name} is not in use: {error}"
        else:
            self.problem = None
            self.is_built_in = path == self._built_in
            return content
        was_good_before = self._read is not None and self._read[0] == path
        if was_good_before:
            return self._content
        self.is_built_in = True
        return self._parsed(self._built_in)

    def _parsed(self, path: Path) -> dict[str, Any]:
        text = decode_file(path.read_bytes())
        try:
            content: dict[str, Any] = _with_environment(tomllib.loads(text, parse_float=_finite))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"not TOML: {error}") from error
        if wrong := [key for key in self._tables if not isinstance(content.get(key, {}), dict)]:
            raise ValueError(f"{wrong[0]} must be a table")
        if wrong := [key for key in self._lists if not _is_list_of_named(content.get(key, []))]:
            raise ValueError(f"{wrong[0]} must be a list of tables, each with a name")
        if reserved(content):
            raise ValueError(f"{SEALED} is what maim itself writes")
        try:
            json.dumps(content)
        except TypeError as error:
            raise ValueError("dates and times are not what JSON knows; write them as texts") from error
        return content


def _version(path: Path) -> _Version:
    """Return a value that changes with the file, or None if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _with_environment(value: Any) -> Any:
    """Return a copy of an operator's value with `${NAME}` in its texts replaced by environment variables.

    Raise ValueError for one that is not set.
    """
    if isinstance(value, dict):
        return {key: _with_environment(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_environment(member) for member in value]
    return _VARIABLE.sub(_variable, value) if isinstance(value, str) else value


def _variable(match: re.Match[str]) -> str:
    if (value := os.environ.get(match[1])) is None:
        raise ValueError(f"{match[0]} is not set in the environment")
    return value


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


def models() -> dict[str, Any]:
    """Return `{providers, models, defaults}`. A provider has exactly these four fields, and never its key."""
    content = _model_file.content(settings.MODEL_CONFIG_PATH)
    shown = _shown({"model": {key: content[key] for key in ("models", "model_task_config") if key in content}})["model"]
    return {
        "providers": [
            {
                "name": provider["name"],
                "client_type": provider.get("client_type", "openai"),
                "base_url": _without_credentials(provider.get("base_url")),
                "is_server_provider": True,
            }
            for provider in content.get("api_providers", [])
        ],
        "models": shown.get("models", []),
        "defaults": shown.get("model_task_config", {}),
    }


def _without_credentials(address: Any) -> Any:
    """Return an address without user, password and query, each of which may be a secret."""
    if not isinstance(address, str) or not {"@", "?"} & set(address):
        return address
    address = address.partition("?")[0]
    scheme, slashes, rest = address.rpartition("//")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{authority.rpartition('@')[2]}{slash}{path}"


def bot_defaults() -> dict[str, Any]:
    """Return the bots' default sections, without any secret."""
    content = _bot_file.content(settings.BOT_CONFIG_PATH)
    return _shown({name: value for name, value in content.items() if name != "inner"})


def _shown(sections: dict[str, Any]) -> dict[str, Any]:
    """Return sections of a config without secrets."""
    shown: dict[str, Any] = secrets.omitted({"config_overrides": sections})["config_overrides"]
    return shown


class Defaults(NamedTuple):
    """The lowest layer, and a fingerprint of its content."""

    layer: Layer
    fingerprint: str


def defaults(schema_name: str = schema.DEFAULT) -> Defaults:
    """Return the system's defaults as a layer: the schema's defaults, overridden by the files.

    The built-in bot file is for the default schema only; an operator's own is for all. Must not be changed. It has the
    secrets of the files in clear, so it must be masked wherever it is shown, and never stored.
    """
    return _layer(
        _Identity(_bot_file.content(settings.BOT_CONFIG_PATH)),
        _Identity(_model_file.content(settings.MODEL_CONFIG_PATH)),
        schema_name,
    )


def problems() -> list[str]:
    """Return one sentence for each configured file that is not in use, and for each odd value in those that are."""
    defaults()
    bot, model = (_Identity({} if file.is_built_in else file.in_use) for file in (_bot_file, _model_file))
    return [*(file.problem for file in (_bot_file, _model_file) if file.problem), *_odd_values(bot, model)]


@lru_cache(maxsize=1)
def _odd_values(bot: _Identity, model: _Identity) -> list[str]:
    """Return a sentence for each odd value in the operator's files, in English, by the schema of their version."""
    config = _in_config(bot.content, model.content)
    name = schema_of({"bot": version_of(bot.content), "model": version_of(model.content)})
    with translation.override("en"):
        found = [*schema.warnings(config, name)]
        if model.content:
            found += [
                schema.ConfigWarning(schema.path(place), sentence)
                for place, sentence in (
                    *schema.unknown_models(config, config),
                    *schema.unknown_providers(config, config),
                )
            ]
    return [f"{path}: {message}" for path, message in found]


class _Identity:
    """A cache key for the content of a file, which is a new object each time the file is read."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.content is other.content

    def __hash__(self) -> int:
        return id(self.content)


def _in_config(bot: dict[str, Any], model: dict[str, Any]) -> Config:
    """Return the content of both files as a config."""
    said = in_config(bot)
    said["config_overrides"]["model"] = {
        "api_providers": model.get("api_providers", []),
        "models": model.get("models", []),
        "model_task_config": model.get("model_task_config", {}),
    }
    return said


@lru_cache(maxsize=len(schema.NAMES))
def _layer(bot: _Identity, model: _Identity, schema_name: str) -> Defaults:
    is_for_others = _bot_file.is_built_in and schema_name != schema.DEFAULT
    said = _in_config({} if is_for_others else bot.content, model.content)
    config = layers.resolve(
        [Layer("", schema.defaults(schema_name), is_trusted=True), Layer("", said, is_trusted=True)]
    )
    text = json.dumps([schema_name, config, settings.VERSION], sort_keys=True)
    return Defaults(Layer("default", config, is_trusted=True), hashlib.sha256(text.encode()).hexdigest()[:16])
