"""The places of a file's sections in a config, and the schemas of the files' versions."""

from __future__ import annotations

import re
from typing import Any

from agent_config import schema
from agent_config.document import Config
from agent_config.schema import Place

INNER = "inner"
OVERRIDES = "config_overrides"
MODEL = "model"
# Sections of the bot's file that have another name in a config.
RENAMED = {"personality": "persona", "bot": "bot_overrides"}

_NEWER = schema.NAMES[-1]
# From these versions of the files on, the bot is 1.x.
_FIRST_NEWER = {"bot": (8,), "model": (1, 12)}
# The versions to write into files for a config that came from none.
FILE_VERSIONS = {schema.DEFAULT: {"bot": "7.0.0", "model": "1.8.2"}, _NEWER: {"bot": "8.15.0", "model": "1.18.0"}}


def version_of(document: Config) -> str | None:
    """Return `inner.version` of a file, or None."""
    inner = document.get(INNER)
    version = inner.get("version") if isinstance(inner, dict) else None
    return version if isinstance(version, str) else None


def schema_of(versions: dict[str, Any]) -> str:
    """Return the name of the schema for files of these versions; the bot file's counts first."""
    for file, first in _FIRST_NEWER.items():
        if isinstance(version := versions.get(file), str) and (numbers := re.findall(r"[0-9]{1,6}", version[:50])):
            return _NEWER if tuple(map(int, numbers)) >= first else schema.DEFAULT
    return schema.DEFAULT


def place_in_config(file: str, place: Place) -> Place:
    """Return where in a config a place of the file `bot` or `model` is."""
    if file == "model":
        return (OVERRIDES, MODEL, *place)
    renamed = RENAMED.get(str(place[0]))
    return (OVERRIDES, *place) if renamed is None else (renamed, *place[1:])


def in_config(document: Config) -> Config:
    """Return a bot file's sections in their places in a config."""
    found: Config = {OVERRIDES: {}}
    for name, value in document.items():
        if name in RENAMED:
            found[RENAMED[name]] = value
        elif name != INNER:
            found[OVERRIDES][name] = value
    return found
