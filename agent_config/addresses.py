"""The addresses that a config's secrets are sent to.

A secret belongs to the addresses around it: to every address in the object that holds it, and in the objects
around that one. A provider's `api_key` belongs to its `base_url`, a server's header to its `url`. Fields are
known by their names, so that a section that the schema does not know is protected like one that it knows.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext as _

from agent_config import secrets
from agent_config.document import Config, is_object
from agent_config.errors import BadConfig
from agent_config.schema import Place, path
from agent_config.secret_places import Secret, rewritten

# What a bot connects to, or runs: a command gets the secrets of its environment.
_ADDRESS = re.compile(
    "(url|uri|host|hostname|address|endpoint|domain|proxy|proxie|command|arg|argv|cmd|exec|executable|entrypoint|script"
    "|cwd|api_base|server|addr|origin|gateway|upstream|callback|webhook|dsn|connection_string|href|socket|broker|relay"
    "|remote|peer|地址|网址|主机|服务器)(e?s)?$",
    re.IGNORECASE,
)
# These hold all that a config says; an address beside them is not one of the secrets in them.
_CONTAINERS: tuple[Place, ...] = ((), ("config_overrides",), ("config_overrides", "model"))


def check_moved(sent: Config, stored: Config, result: Config) -> None:
    """Raise BadConfig for each stored secret in `result` that stands with another address than in `stored`.

    `result` is what `sent` makes of `stored`. Addresses are compared as text. What `sent` has in clear is no stored
    secret, whatever its value.
    """
    there = list(secrets_in(result))
    values = dict(secrets_in(sent)) if there else {}
    _check_kept({place for place, value in there if values.get(place) != value}, stored, result)


def check_document_moved(sent: Config, stored: Config, result: Config) -> None:
    """Like `check_moved`, for a document whose outermost object is no container: a plugin's, or a tenant's own."""
    name = "document"
    try:
        check_moved({name: sent}, {name: stored}, {name: result})
    except BadConfig as error:
        raise BadConfig({place.removeprefix(f"{name}."): said for place, said in error.errors.items()}) from error


def check_layers(before: Config, after: Config) -> None:
    """Raise BadConfig for each secret of an effective config that other layers give another address."""
    values = {_text(value) for _place, value in secrets_in(before)}
    _check_kept({place for place, value in secrets_in(after) if _text(value) in values}, before, after)


def _check_kept(kept: Collection[Place], stored: Config, result: Config) -> None:
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


@lru_cache(maxsize=10_000)
def _is_address_name(key: str) -> bool:
    return _ADDRESS.search(unicodedata.normalize("NFKC", key)) is not None


def _is_address(key: Any) -> bool:
    return isinstance(key, str) and _is_address_name(key)


def _moved(kept: Collection[Place], stored: Config, result: Config) -> Iterator[Place]:
    """Yield the places in `kept` whose secrets `result` has with other addresses than `stored`."""
    around = _Addresses(stored)
    before = {(_text(value), around.of(place)) for place, value in secrets_in(stored)}
    around = _Addresses(result)
    for place, value in secrets_in(result):
        if place in kept and (_text(value), around.of(place)) not in before:
            yield place


class _Addresses:
    """The addresses in a config, looked for once in each object that has a secret within it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._found: dict[Place, dict[str, str]] = {}

    def of(self, place: Place) -> tuple[tuple[str, ...], ...]:
        """Return the addresses around a place, as JSON, by object. One that is not set is none."""
        found: list[tuple[str, ...]] = []
        value: Any = self._config
        for depth, step in enumerate(place):
            if isinstance(value, dict) and place[:depth] not in _CONTAINERS:
                found.append(tuple(text for key, text in self._within(place[:depth], value).items() if key != step))
            value = value[step]
        return tuple(filter(None, found))

    def _within(self, place: Place, value: Config) -> dict[str, str]:
        if place not in self._found:
            named = sorted(key for key in value if _is_address(key) and value[key])
            self._found[place] = {key: f"{key} {_text(value[key])}" for key in named}
        return self._found[place]


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
