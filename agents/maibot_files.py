"""The bot's own files, bot_config.toml and model_config.toml, as agents' configs and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import orjson
from django.utils.translation import gettext as _

from agent_config import secrets
from agent_config.document import Config
from agent_config.maibot.exporting import BotFiles, NoTOML, export_files
from agent_config.maibot.importing import ImportedFiles, import_files
from agents import effective_config
from agents.models import Agent
from agents.serializers.transfer import MAX_FILE_LENGTH
from agents.services import transfer
from core import strict_json
from core.actor import Actor
from core.errors import Invalid, Text
from core.file_text import decode_file
from core.http import toml
from core.http.toml import Place

BOT, MODEL = "bot_config.toml", "model_config.toml"
# In a folder of bots, each bot's files are in a folder of its own, or as the bot has them in its `config`.
_FOLDERS = (".", "config")


class FilesOfBot(NamedTuple):
    """The contents of a bot's files; None for a missing one."""

    bot: bytes | None
    model: bytes | None


def read_files(bot: bytes | None, model: bytes | None) -> ImportedFiles:
    """Return what a bot's files hold.

    Raise Invalid, by the names `bot` and `model`, for a file that cannot be read, and BadConfig if too much is wrong.
    """
    if bot is None and model is None:
        raise Invalid({"bot": [_("Send the text of bot_config.toml, of model_config.toml, or both")]})
    documents: dict[str, Any] = {}
    times: dict[str, list[Place]] = {}
    errors: dict[str, list[Text]] = {}
    for name, raw in (("bot", bot), ("model", model)):
        try:
            documents[name], times[name] = (None, []) if raw is None else _parsed(raw)
        except strict_json.NotAcceptable as error:
            errors[name] = [str(error)]
    if errors:
        raise Invalid(errors)
    return import_files(documents["bot"], documents["model"], times)


def find_bots(folder: Path) -> dict[str, FilesOfBot]:
    """Return the files of each bot in a folder of bots' folders, by the name of the bot's folder. Raise OSError."""
    found = {}
    for each in sorted(path for path in folder.iterdir() if path.is_dir()):
        for within in _FOLDERS:
            files = FilesOfBot(*(_content(each / within / name) for name in (BOT, MODEL)))
            if any(content is not None for content in files):
                found[each.name] = files
                break
    return found


def export_agent(agent: Agent, *, actor: Actor, schema_name: str, is_effective: bool, has_secrets: bool) -> BotFiles:
    """Return an agent's config as the bot's files: its own, or with `is_effective` that of all layers.

    Showing secrets is recorded in the audit log. Raise Invalid if TOML cannot hold the config, Unavailable where a
    secret is sealed under a key that is not configured.
    """
    config = _effective if is_effective else _own
    try:
        return export_files(config(agent, actor if has_secrets else None), schema_name)
    except NoTOML as error:
        raise Invalid({"config": [str(error)]}) from error


def _own(agent: Agent, reader: Actor | None) -> Config:
    """Return the agent's own config, with its secrets if they have a reader."""
    document = (
        transfer.export_agent(agent) if reader is None else transfer.export_with_secrets(actor=reader, agent=agent)
    )
    config: Config = document["config"]
    return config


def _effective(agent: Agent, reader: Actor | None) -> Config:
    """Return the agent's effective config, with its secrets if they have a reader."""
    if reader is None:
        return secrets.omitted(effective_config.resolve_config(agent.id))
    explained = effective_config.reveal_effective_config(actor=reader, agent_id=agent.id)
    config: Config = orjson.loads(explained.resolved.document)["config"]
    return config


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _parsed(raw: bytes) -> tuple[Any, list[Place]]:
    """Return the document in a file, and the places of the dates and times in it. Raise NotAcceptable."""
    text = decode_file(raw)
    if len(text) > MAX_FILE_LENGTH:
        raise strict_json.NotAcceptable(_("may have at most %(limit)s characters") % {"limit": MAX_FILE_LENGTH})
    return toml.loads_with_times(text.encode())
