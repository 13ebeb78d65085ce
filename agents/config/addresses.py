"""The addresses that a config's secrets are sent to.

A secret belongs to the addresses around it: to every address in the object that holds it, and in the objects
around that one. A provider's `api_key` belongs to its `base_url`, a server's header to its `url`. Fields are
known by their names, so that a section that the schema does not know is protected like one that it knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from django.utils.translation import gettext as _

from agents.config import secrets
from agents.config.document import Config, is_object
from agents.config.schema import Place, path
from agents.config.secret_places import Secret, rewritten
from agents.errors import BadConfig

# What a bot connects to, or runs: a command gets the secrets of its environment.
_ADDRESS = re.compile(r"(url|uri|host|hostname|address|endpoint|domain|proxy|command|arg)(e?s)?$", re.IGNORECASE)
# These hold all that a config says; an address beside them is not one of the secrets in them.
_CONTAINERS: tuple[Place, ...] = ((), ("config_overrides",), ("config_overrides", "model"))


def check_moved(sent: Config, stored: Config, result: Config) -> None:
    """Raise BadConfig for each stored secret in `result` that stands with another address than in `stored`.

    `result` is what `sent` makes of `stored`. Addresses are compared as text. What `sent` has in clear is no stored
    secret, whatever its value.
    """
    there = list(secrets_in(result))
    values = dict(secrets_in(sent)) if there else {}
    kept = {place for place, value in there if values.get(place) != value}
    if not kept or not any(_moved(kept, stored, result)):
        return  # equal as they are stored: there is no need to open them
    sentence = _("the address is not the one that this was set for: send this secret anew, or null to remove it")
    moved = _moved(kept, secrets.comparable(stored), secrets.comparable(result))
    if errors := {path(place): [sentence] for place in moved}:
        raise BadConfig(errors)


def redirected(lower: Config, upper: Config) -> Iterator[Place]:
    """Yield the addresses in `upper` that would replace one in `lower` whose secrets `upper` does not set.

    Both are configs of layers; `lower` may be several that were joined.
    """
    held = [place for place, _value in secrets_in(lower)]
    if held:
        yield from _redirected(lower, upper, (), held)


def secrets_in(config: Config) -> Iterator[tuple[Place, Any]]:
    """Yield the secrets that are set and are no addresses themselves, with their places."""
    found: list[tuple[Place, Any]] = []

    def note(secret: Secret) -> Any:
        if not _is_address(secret.place[-1]):
            found.append((secret.place, secret.value))
        return secret.value

    rewritten(config, note)
    yield from found


def _is_address(key: Any) -> bool:
    return isinstance(key, str) and _ADDRESS.search(key) is not None


def _moved(kept: Collection[Place], stored: Config, result: Config) -> Iterator[Place]:
    """Yield the places in `kept` whose secrets `result` has with other addresses than `stored`."""
    before = {(_text(value), _addresses_of(stored, place)) for place, value in secrets_in(stored)}
    for place, value in secrets_in(result):
        if place in kept and (_text(value), _addresses_of(result, place)) not in before:
            yield place


def _addresses_of(config: Config, place: Place) -> str:
    """Return the addresses around a place, as JSON. One that is not set is none."""
    found: list[Config] = []
    value: Any = config
    for depth, step in enumerate(place):
        if isinstance(value, dict) and place[:depth] not in _CONTAINERS:
            found.append({key: value[key] for key in value if _is_address(key) and value[key] and key != step})
        value = value[step]
    return _text(list(filter(None, found)))


def _redirected(lower: Config, upper: Config, place: Place, held: Collection[Place]) -> Iterator[Place]:
    for key, value in upper.items():
        below, here = lower.get(key), (*place, key)
        if is_object(value) and is_object(below):
            yield from _redirected(lower[key], value, here, held)
        elif _is_address(key) and place not in _CONTAINERS and value != below:
            around = [each[len(place) :] for each in held if each[: len(place)] == place]
            if any(not _replaces(upper, each) for each in around):
                yield here


def _replaces(upper: Any, place: Place) -> bool:
    """Return whether nothing is left of what is below `upper` in this place."""
    for step in place:
        if not is_object(upper):
            return True
        if step not in upper:
            return False
        upper = upper[step]
    return True


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
