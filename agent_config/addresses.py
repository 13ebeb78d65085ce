"""The addresses that a config's secrets are sent to.

A secret belongs to the addresses around it: to every address, at any depth, in the object that holds it and in the
objects around that one. A provider's `api_key` belongs to its `base_url`, a server's header to its `url`, a secret of
a model to the addresses of the model's provider. Addresses are recognized by their field names and URLs by their
format, so that sections that the schema does not know are protected as well.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Set
from functools import cached_property, lru_cache
from typing import Any

from django.utils.translation import gettext as _

from agent_config import secrets
from agent_config.document import SECTIONS, Config, is_object
from agent_config.errors import BadConfig
from agent_config.items import MODEL, MODELS, PROVIDERS, folded, named_items, provider_name
from agent_config.schema import Place, path
from agent_config.secret_names import names_secret_value, snake_case
from agent_config.secret_paths import Secret, rewritten

# Endings of names in snake case for what a bot connects to or runs; a number or a qualifying word may follow.
_ADDRESS = re.compile(
    "((url|uri|host|hostname|address|endpoint|domain|proxy|proxie|command|arg|argv|cmd|exec|executable|entrypoint"
    "|script|cwd|api_base|server|addr|origin|gateway|upstream|callback|webhook|dsn|connection_string|href|socket"
    "|broker|relay|remote|peer|destination|tunnel|interpreter|resource_name|地址|网址|主机|服务器|代理|端口"
    "|(^|_|host|server|api)port|(^|_)(ip|ipv4|ipv6|dest|target|link|mirror|shell|binary))(e?s)?)"
    r"(_|\d|v\d|base|path|override|template|list|map|name|(?<=(url|uri|ost|int)_)(pre|suf)fix)*$",
)
_PORT = re.compile(r"(port|端口)(e?s)?(_|\d)*$")
_PROXY = re.compile(r"(prox(y|ie)|代理)(e?s)?(_|\d)*$")
_ENVIRONMENT = re.compile("(^|_)(envs?|env_vars|environments?|environment_variables)$")
_URL = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LONGEST = 100  # characters; of a longer name only the end is matched
# Members of a process that do not affect what it does with its environment's secrets.
_LABELS = frozenset({"name", "id", "title", "description"})

# Objects whose members are unrelated, and share only a proxy.
_ROOTS: tuple[Place, ...] = ((), ("config_overrides",))
# Documents other than configs are wrapped under names that no client can send.
_PLUGIN, _TENANT = "\0plugin", "\0tenant"
# Objects whose members are unrelated, but share the addresses that are directly in the object.
_SECTIONED: tuple[Place, ...] = (MODEL, (_TENANT,))
_KNOWN = frozenset({"config_overrides", *SECTIONS})
# The bot's own server. Others send its tokens to the bot, so its port is no address that a secret is sent to.
_OWN_SERVER: Place = ("config_overrides", "maim_message")


def check_moved(sent: Config, stored: Config, result: Config) -> None:
    """Raise BadConfig for each stored secret that has other addresses in `result` than in `stored`.

    `result` is `sent` merged into `stored`. Addresses are compared as text. A secret that `sent` has in clear does not
    count as stored, whatever its value.
    """
    _check_moved(sent, stored, result, ())


def check_plugin_moved(sent: Config, stored: Config, result: Config) -> None:
    """Check the config of a plugin like `check_moved`, except that it is about a single thing."""
    _check_moved({_PLUGIN: sent}, {_PLUGIN: stored}, {_PLUGIN: result}, (_PLUGIN,))


def check_tenant_moved(sent: Config, stored: Config, result: Config) -> None:
    """Check the tenant's own part of a tenant config like `check_moved`."""
    _check_moved({_TENANT: sent}, {_TENANT: stored}, {_TENANT: result}, (_TENANT,))


def _check_moved(sent: Config, stored: Config, result: Config, within: Place) -> None:
    there = list(secrets_in(result))
    values = dict(secrets_in(sent)) if there else {}
    kept = {place for place, value in there if values.get(place) != value}
    if not kept or not any(_moved(kept, stored, result)):
        return  # equal even while sealed, so there is no need to decrypt them
    sentence = _("the address is not the one that this was set for: send this secret anew, or null to remove it")
    moved = _moved(kept, secrets.comparable(stored), secrets.comparable(result))
    if errors := {path(place[len(within) :]): [sentence] for place in moved}:
        raise BadConfig(errors)


def redirected(lower: Config, upper: Config) -> Iterator[Place]:
    """Yield the addresses in `upper` that would replace an address in `lower` without replacing its secrets.

    Both are configs of layers; `lower` may be several that were combined.
    """
    if not upper:
        return
    held = _Parts(lower)
    kept = [place for place in held.secrets if not _replaces(upper, place)]
    if kept:
        yield from _Overlay(held, kept, _Parts(upper), is_over=True).addresses()


def exposing(lower: Config, upper: Config) -> Iterator[Place]:
    """Yield the addresses in `lower` that would get a secret of `upper`, which does not set them itself."""
    held = _Parts(upper)
    if held.secrets:
        yield from _Overlay(held, held.secrets, _Parts(lower), is_over=False).addresses()


def has_shared_address(config: Config) -> bool:
    """Return whether a config has an address for the secrets of all its providers and models, such as a proxy."""
    value: Any = config
    for depth in range(len(MODEL) + 1):
        if not isinstance(value, dict):
            return False
        if any(_is_shared(MODEL[:depth], key) for key in value if key not in _KNOWN):
            return True
        value = value.get(MODEL[depth]) if depth < len(MODEL) else None
    return False


def secrets_in(config: Config) -> Iterator[tuple[Place, Any]]:
    """Yield the places and values of the secrets that are not addresses themselves."""
    yield from _Parts(config).secrets.items()


class _Parts:
    """A config split into its secrets, by place, and all the rest, which includes secret addresses.

    A variable of an environment is in both, because it is secret and may direct where other secrets go.
    """

    def __init__(self, config: Config) -> None:
        self.secrets: dict[Place, Any] = {}
        self.config: Config = rewritten(config, self._note)
        self._found: dict[tuple[int, bool], Any] = {}

    def _note(self, secret: Secret) -> Any:
        if _is_address(secret.place[-1]):
            return secret.value
        self.secrets[secret.place] = secret.value
        return secret.value if _is_variable(secret.place) else None

    @cached_property
    def holders(self) -> set[Place]:
        """The places of all objects and lists with a secret within them."""
        return _prefixes(self.secrets)

    def addresses(self, value: Any, *, is_whole: bool) -> Any:
        """Return a copy of a part of the config with only its addresses, or None.

        An empty address is none. Each object is traversed once, however many secrets are around it.
        """
        if not isinstance(value, dict | list):
            is_one = is_whole or (isinstance(value, str) and _URL.match(value))
            return value if value and is_one else None
        key = (id(value), is_whole)
        if key not in self._found:
            self._found[key] = self._find(value, is_whole=is_whole)
        return self._found[key]

    def _find(self, value: Any, *, is_whole: bool) -> Any:
        if is_object(value):
            of_process = _is_process(value)
            members = {
                key: self.addresses(member, is_whole=is_whole or _is_whole(key, member, (), of_process=of_process))
                for key, member in value.items()
            }
            return {key: member for key, member in members.items() if member} or None
        if is_whole:
            return value or None
        if isinstance(value, list):
            return [found for item in value if (found := self.addresses(item, is_whole=False))] or None
        return None


def _prefixes(places: Collection[Place]) -> set[Place]:
    found: set[Place] = set()
    for place in places:
        for depth in reversed(range(len(place))):
            if place[:depth] in found:
                break
            found.add(place[:depth])
    return found


@lru_cache(maxsize=10_000)
def _matches(pattern: re.Pattern[str], key: str) -> bool:
    return pattern.search(snake_case(key[-_LONGEST:])) is not None


def _is_address(key: Any) -> bool:
    return isinstance(key, str) and _matches(_ADDRESS, key)


def _is_environment(key: Any) -> bool:
    return isinstance(key, str) and _matches(_ENVIRONMENT, key)


def _is_variable(place: Place) -> bool:
    """Return whether a place is of an environment variable whose own name does not look like a secret's."""
    start = next((depth for depth, step in enumerate(place) if _is_environment(step)), None)
    if start is None:
        return False
    name = place[start + 1] if start + 1 < len(place) else None
    return not (isinstance(name, str) and names_secret_value(name))


def _is_process(value: Config) -> bool:
    """Return whether an object describes a process, which has an environment."""
    return any(isinstance(member, dict | list) and _is_environment(key) for key, member in value.items())


def _is_whole(key: str, member: Any, place: Place, *, of_process: bool) -> bool:
    """Return whether a member of the object at `place` is an address as a whole, whatever is in it."""
    if place and _is_environment(place[-1]):
        return True
    if _is_address(key):
        return not (place == _OWN_SERVER and _matches(_PORT, key))
    return of_process and key not in _LABELS and not isinstance(member, int | float)


def _is_self_contained(key: str, value: Any, addresses: Any) -> bool:
    """Return whether a member with secrets also has their addresses, so that others do not concern them."""
    return bool(addresses) and isinstance(value, dict | list) and not _is_environment(key)


def _is_shared(place: Place, key: str) -> bool:
    """Return whether a member of an object with unrelated members is an address for all of them."""
    return _matches(_PROXY, key) if place in _ROOTS else _is_address(key)


def _moved(kept: Collection[Place], stored: Config, result: Config) -> Iterator[Place]:
    """Yield the places in `kept` whose secrets have other addresses in `result` than in `stored`."""
    around = _SecretAddresses(stored)
    before = {(_text(value), around.of(place)) for place, value in around.secrets.items()}
    around = _SecretAddresses(result)
    for place, value in around.secrets.items():
        if place in kept and (_text(value), around.of(place)) not in before:
            yield place


class _SecretAddresses:
    """The addresses of each secret of a config, computed once for each object with secrets."""

    def __init__(self, config: Config) -> None:
        self._parts = _Parts(config)
        self.secrets = self._parts.secrets
        self._found: dict[Place, tuple[str, ...]] = {}
        self._digests: dict[tuple[Place, str], str] = {}
        self._self_contained: dict[Place, bool] = {}
        self._processes: dict[Place, bool] = {}

    def of(self, place: Place) -> tuple[str, ...]:
        """Return digests of the addresses of a secret, one for each object around it that has any."""
        holder = place[:-1]
        if holder not in self._found:
            self._found[holder] = self._around(place)
        return self._found[holder]

    def _around(self, place: Place) -> tuple[str, ...]:
        found: list[str] = []
        value: Any = self._parts.config
        for depth, step in enumerate(place):
            if isinstance(value, dict):
                found.append(self._in_object(value, place[:depth], str(step), is_direct=depth == len(place) - 1))
            if place[:depth] == MODELS:
                found.append(self._of_provider(provider_name(value[step])))
            value = value[step]
        return tuple(filter(None, found))

    def _in_object(self, value: Config, place: Place, step: str, *, is_direct: bool) -> str:
        if not is_direct and place in (*_ROOTS, *_SECTIONED):
            kind = "shared"
        elif self._is_self_contained(value, place, step):
            kind = "outside"
        else:
            kind = "all"
        key = (place, kind)
        if key not in self._digests:
            self._digests[key] = self._digest(value, place, kind)
        return self._digests[key]

    def _digest(self, value: Config, place: Place, kind: str) -> str:
        found: Config = {}
        for key in value:
            if (kind == "shared" and not _is_shared(place, key)) or (place in _ROOTS and key in _KNOWN):
                continue
            if kind == "outside" and self._is_self_contained(value, place, key):
                continue
            found[key] = self._addresses(value, place, key)
        found = {key: addresses for key, addresses in found.items() if addresses}
        return _hash(found) if found else ""

    def _is_self_contained(self, value: Config, place: Place, key: str) -> bool:
        here = (*place, key)
        if here not in self._parts.holders:
            return False
        if here not in self._self_contained:
            self._self_contained[here] = _is_self_contained(key, value[key], self._addresses(value, place, key))
        return self._self_contained[here]

    def _addresses(self, value: Config, place: Place, key: str) -> Any:
        """Return the addresses in a member of the object at `place`."""
        if place not in self._processes:
            self._processes[place] = _is_process(value)
        is_whole = _is_whole(key, value[key], place, of_process=self._processes[place])
        return self._parts.addresses(value[key], is_whole=is_whole)

    @cached_property
    def _providers(self) -> dict[str, str]:
        """A digest of each provider's addresses, or of its name if it has none, by its folded name."""
        found: dict[str, list[Any]] = {}
        for _number, item in named_items(self._parts.config, "api_providers"):
            addresses = self._parts.addresses(item, is_whole=False)
            found.setdefault(folded(item["name"]), []).append(addresses)
        return {
            name: _hash(sorted(map(_text, providers))) if any(providers) else _hash(["without an address", name])
            for name, providers in found.items()
        }

    def _of_provider(self, name: str) -> str:
        """Return a digest of the addresses of a model's provider, or of its name if another layer defines it."""
        return self._providers.get(name) or _hash(["of another layer", name])


class _Overlay:
    """A layer combined with another one that has secrets, which is below it (`is_over`) or above it.

    `kept` are the places of the other layer's secrets that are still there when the two are combined.
    """

    def __init__(self, held: _Parts, kept: Collection[Place], other: _Parts, *, is_over: bool) -> None:
        self._held, self._other = held, other
        self._kept = frozenset(kept)
        self._open = _prefixes(kept)
        self._holders = held.holders | other.holders
        self._is_over = is_over

    def addresses(self) -> Iterator[Place]:
        """Yield the places of the addresses in the layer that would get a kept secret of the other layer."""
        yield from self._in_object(self._held.config, self._other.config, ())

    def _in_object(self, held: Config, other: Config, place: Place) -> Iterator[Place]:
        of_process = _is_process(held) or _is_process(other)
        direct = {key for key in held if (*place, key) in self._kept}
        holding = direct | {key for key in held if (*place, key) in self._open}
        loose = direct | {
            key for key in holding - direct if not self._is_apart(held[key], (*place, key), of_process=of_process)
        }
        for key, member in other.items():
            here, theirs = (*place, key), held.get(key)
            if place in _ROOTS or place in _SECTIONED:
                beside: Set[str] = holding if _is_shared(place, key) else direct
                beside = frozenset() if place in _ROOTS and key in _KNOWN else beside
            else:
                beside = loose if self._is_apart(member, here, of_process=of_process) else holding
            if len(beside) > (key in beside):
                is_whole = _is_whole(key, member, place, of_process=of_process)
                yield from self._new(member, theirs, here, is_whole=is_whole)
            elif here in self._open and is_object(member) and is_object(theirs):
                yield from self._in_object(theirs, member, here)

    def _is_apart(self, value: Any, place: Place, *, of_process: bool) -> bool:
        key = str(place[-1])
        is_whole = _is_whole(key, value, place[:-1], of_process=of_process)
        addresses = self._held.addresses(value, is_whole=is_whole) if place in self._holders else None
        return _is_self_contained(key, value, addresses)

    def _new(self, value: Any, theirs: Any, place: Place, *, is_whole: bool) -> Iterator[Place]:
        """Yield the addresses in a value that are new beside `theirs`, the other layer's, or replace one in it."""
        if value is None or not (self._is_over or theirs is None or is_object(theirs)):
            return
        if is_object(value) and (theirs is None or is_object(theirs)):
            of_process = _is_process(value)
            for key, member in value.items():
                is_inner = is_whole or _is_whole(key, member, (), of_process=of_process)
                yield from self._new(member, (theirs or {}).get(key), (*place, key), is_whole=is_inner)
        elif (value != theirs if self._is_over else theirs is None) and (
            is_whole or self._held.addresses(value, is_whole=False) or self._held.addresses(theirs, is_whole=False)
        ):
            yield place


def _replaces(upper: Any, place: Place) -> bool:
    """Return whether `upper` replaces the value in this place of a lower layer. Lists of named items are joined."""
    for depth, step in enumerate(place):
        if not is_object(upper):
            return place[:depth] not in (PROVIDERS, MODELS)
        if step not in upper:
            return False
        upper = upper[step]
    return True


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _hash(value: Any) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()
