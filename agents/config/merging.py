"""How a sent config changes a stored one (CONTRACT.md section 4).

Objects merge key by key, lists and scalars replace, null removes. Two lists are of named items: the
sent list decides membership and order, and an item keeps what it does not send of its old namesake.
The mask keeps the stored secret.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from agents.config.document import MASK, NAMED_LISTS, PROVIDER_SECRETS, SECTIONS, Config, secret_places
from agents.errors import BadConfig


def merge(stored: Config, sent: Config) -> Config:
    """The config after `sent` is put on `stored`; neither is changed.

    Raises BadConfig where a known part has the wrong structure, a name occurs twice, or a mask stands
    where nothing is stored.
    """
    _check_structure(sent)
    result = _merge_object(stored, sent, ())
    if "persona" in sent:
        persona = _merge_persona(stored.get("persona"), sent["persona"])
        if persona is not None:
            result["persona"] = persona
    _refuse_left_over_masks(result)
    return result


def _merge_object(stored: Config, sent: Config, path: tuple[str, ...]) -> Config:
    result = dict(stored)
    for key, value in sent.items():
        here = (*path, key)
        if value is None:
            result.pop(key, None)
        elif here in _NAMED_LIST_PATHS:
            result[key] = _merge_named(stored.get(key), value, here)
        elif isinstance(value, dict):
            old = stored.get(key)
            result[key] = _merge_object(old if isinstance(old, dict) else {}, value, here)
        elif value == MASK and here == _AUTH_TOKEN and stored.get(key):
            result[key] = stored[key]
        else:
            result[key] = _without_nulls(value)
    return result


_NAMED_LIST_PATHS = frozenset(("config_overrides", "model", name) for name in NAMED_LISTS)
_AUTH_TOKEN = ("config_overrides", "maim_message", "auth_token")


def _merge_named(stored: Any, sent: list[Config], path: tuple[str, ...]) -> list[Config]:
    secrets = PROVIDER_SECRETS if path[-1] == "api_providers" else ()
    old = {item.get("name"): item for item in stored or () if isinstance(item, dict)}
    result = []
    for item in sent:
        before = _one_spelling(old.get(item["name"], {}), path)
        changes = {
            key: value
            for key, value in _one_spelling(item, path).items()
            if not (key in secrets and value == MASK and before.get(key))
        }
        result.append(_merge_object(before, changes, (*path, "*")))
    return result


def _one_spelling(item: Config, path: tuple[str, ...]) -> Config:
    """A model with `provider_name`, its older spelling, written as `api_provider`."""
    if path[-1] != "models" or "provider_name" not in item:
        return item
    older = {"api_provider": item["provider_name"]}
    return {**older, **{key: value for key, value in item.items() if key != "provider_name"}}


def _merge_persona(stored: Any, sent: Any) -> Any:
    """`persona` may be a text, short for its `personality`; it stays one while nothing else is set."""
    if sent is None:
        return None
    if isinstance(sent, str):
        return {**stored, "personality": sent} if isinstance(stored, dict) else sent
    if isinstance(stored, str):
        stored = {"personality": stored}
    return _merge_object(stored if isinstance(stored, dict) else {}, sent, ("persona",))


def _without_nulls(value: Any) -> Any:
    """A sent value without the object members that are null: null is never stored."""
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(member) for member in value]
    return value


def _check_structure(sent: Config) -> None:
    errors: dict[str, list[str]] = {}

    def expect(value: Any, path: str, kinds: type | tuple[type, ...], name: str) -> bool:
        if value is None or isinstance(value, kinds):
            return value is not None
        errors[path] = [_("must be %(kind)s") % {"kind": name}]
        return False

    expect(sent.get("persona"), "persona", (dict, str), _("an object or a text"))
    expect(sent.get("bot_overrides"), "bot_overrides", dict, _("an object"))
    overrides: Any = sent.get("config_overrides")
    if expect(overrides, "config_overrides", dict, _("an object")):
        for name in SECTIONS:
            expect(overrides.get(name), f"config_overrides.{name}", dict, _("an object"))
        model: Any = overrides.get("model")
        for name in NAMED_LISTS if isinstance(model, dict) else ():
            path = f"config_overrides.model.{name}"
            if expect(model.get(name), path, list, _("a list")):
                _check_names(model[name], path, errors)
    if errors:
        raise BadConfig(errors)


def _check_names(items: list[Any], path: str, errors: dict[str, list[str]]) -> None:
    seen: set[str] = set()
    for number, item in enumerate(items):
        here = f"{path}[{number}]"
        if not isinstance(item, dict):
            errors[here] = [_("must be %(kind)s") % {"kind": _("an object")}]
        elif not isinstance(item.get("name"), str) or not item["name"]:
            errors[f"{here}.name"] = [_("every item needs a name")]
        elif item["name"] in seen:
            errors[f"{here}.name"] = [_("this name occurs twice in the list")]
        else:
            seen.add(item["name"])


def _refuse_left_over_masks(config: Config) -> None:
    left = {
        path: [_("the mask keeps a stored value, and none is stored")]
        for holder, key, path in secret_places(config)
        if holder[key] == MASK
    }
    if left:
        raise BadConfig(left)
