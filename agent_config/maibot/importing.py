"""The import of the bot's files: both as one config, with a report of all that is not as it was in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from agent_config import schema, validators
from agent_config.document import NAMED_LISTS, Config
from agent_config.errors import BadConfig
from agent_config.maibot import old_models
from agent_config.maibot.places import INNER, MODEL, OVERRIDES, in_config, place_in_config, schema_of, version_of
from agent_config.maibot.repairs import repaired
from agent_config.merging import with_api_provider
from agent_config.schema import ConfigWarning, Place, TooManyFaults, path
from agent_config.schema.paths import holder_of, topmost
from agent_config.schema.unknown import unknown_places


class ImportedFiles(NamedTuple):
    """A config made from a bot's files, and what is not as it was in them.

    `repairs` are values that were changed, `left_out` those that no config may hold, and `unknown` the paths of what
    the schema does not know, which is kept.
    """

    config: Config
    schema_name: str
    repairs: list[ConfigWarning]
    left_out: list[ConfigWarning]
    unknown: list[str]


def import_files(
    bot: Config | None, model: Config | None, times: Mapping[str, Iterable[Place]] | None = None
) -> ImportedFiles:
    """Return the config that the parsed files hold, which may share and change their parts; either may be missing.

    `times` are the places of what was a date or time, by file. Raise BadConfig if too much is wrong.
    """
    versions = {file: version_of(document) for file, document in (("bot", bot or {}), ("model", model or {}))}
    schema_name = schema_of(versions)
    config = in_config(bot or {})
    validators.check_sent({"bot": config, "model": model}, {})
    notes = [
        ConfigWarning(path(place_in_config(file, place)), _("was a date or time, and is now a text"))
        for file, places in (times or {}).items()
        for place in places
    ]
    notes += _renamed_account(config)
    notes += _joined_models(config, model)
    notes += _without_namesakes(config)
    notes += _renamed_providers(config)
    config, repairs = repaired(config, schema_name)
    notes += [ConfigWarning(path(repair.place), _(repair.message)) for repair in repairs]
    left_out = _leave_out_refused(config, schema_name)
    if kept := {file: version for file, version in versions.items() if version is not None}:
        config[INNER] = kept
    told = {(INNER,), *(repair.place for repair in repairs)}
    unknown = [path(place) for place in unknown_places(config, schema_name) if place not in told]
    if not config[OVERRIDES]:
        del config[OVERRIDES]
    return ImportedFiles(config, schema_name, notes, left_out, unknown)


def _renamed_account(config: Config) -> Iterable[ConfigWarning]:
    """Rename the account of files before 0.8."""
    bot = config.get("bot_overrides")
    if isinstance(bot, dict) and "qq" in bot and "qq_account" not in bot:
        config["bot_overrides"] = {"qq_account" if key == "qq" else key: value for key, value in bot.items()}
        yield ConfigWarning("bot_overrides.qq_account", _("was named qq"))


def _joined_models(config: Config, model: Config | None) -> Iterable[ConfigWarning]:
    """Put the models of both files into the config; the model file's win."""
    overrides = config[OVERRIDES]
    of_bot = overrides.get(MODEL)
    if old_models.is_old(of_bot):
        of_bot, note = old_models.converted(of_bot)
        overrides[MODEL] = of_bot
        yield note
    if model is None:
        return
    of_model = {key: value for key, value in model.items() if key != INNER}
    if isinstance(of_bot, dict):
        for key in of_bot.keys() & of_model.keys():
            yield ConfigWarning(f"{OVERRIDES}.{MODEL}.{key}", _("is in both files; the model file's is taken"))
        of_model = {**of_bot, **of_model}
    overrides[MODEL] = of_model


def _without_namesakes(config: Config) -> Iterable[ConfigWarning]:
    """Keep the last of the models or providers of one name, as the bot does."""
    model = config[OVERRIDES].get(MODEL)
    for *_parents, key in NAMED_LISTS:
        items = model.get(key) if isinstance(model, dict) else None
        if not isinstance(items, list):
            continue
        last = {_name(item): number for number, item in enumerate(items)}
        for number, item in enumerate(items):
            if _name(item) is not None and last[_name(item)] != number:
                yield ConfigWarning(f"{OVERRIDES}.{MODEL}.{key}[{number}]", _("this name comes again; the last counts"))
        kept = [item for number, item in enumerate(items) if _name(item) is None or last[_name(item)] == number]
        model[key] = kept


def _renamed_providers(config: Config) -> Iterable[ConfigWarning]:
    """Write the older spelling of a model's provider in the current one, as every config has it."""
    model = config[OVERRIDES].get(MODEL)
    items = model.get("models") if isinstance(model, dict) else None
    if not isinstance(items, list):
        return
    for number, item in enumerate(items):
        if isinstance(item, dict) and "provider_name" in item:
            items[number] = with_api_provider(item)
            yield ConfigWarning(f"{OVERRIDES}.{MODEL}.models[{number}].api_provider", _("was named provider_name"))


def _name(item: Any) -> str | None:
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else None


def _leave_out_refused(config: Config, schema_name: str) -> list[ConfigWarning]:
    """Remove the values that a config may not have, and return the reasons."""
    try:
        found = [fault for fault in schema.faults(config, schema_name) if fault.is_refused]
    except TooManyFaults as error:
        too_many = schema.too_many_faults()
        raise BadConfig({path(too_many.place): [too_many.sentence]}) from error
    for place in topmost({_removable(fault.place) for fault in found}):
        del holder_of(config, place)[place[-1]]
    return [ConfigWarning(path(fault.place), fault.sentence) for fault in found]


def _removable(place: Place) -> Place:
    """Return the place to remove for a fault: the whole item if its name is wrong."""
    return place[:-1] if place[-1] == "name" and place[: len(NAMED_LISTS[0])] in NAMED_LISTS else place
