"""Conflicts of a config with the layers below it: names that lead to a key, uses of keys, and addresses of secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from agent_config import trust
from agent_config.addresses import redirected
from agent_config.document import Config
from agent_config.errors import BadConfig
from agent_config.items import MODEL, folded, named_items, provider_name
from agent_config.layers import Layer
from agent_config.schema import Place, path, sent_place

_MAX_NAME = 100


class _Conflict(NamedTuple):
    """A conflict with a layer below. `what` identifies it, wherever in the config it is."""

    what: tuple[Any, ...]
    place: Place
    sentence: str


def check_names(
    config: Config,
    stacks: Sequence[Sequence[Layer]],
    *,
    stored: Config,
    stored_stacks: Sequence[Sequence[Layer]] | None = None,
    sent: Config | None = None,
) -> None:
    """Raise BadConfig for the conflicts of a config with the layers below it.

    `stacks` are the alternative lists of layers that may be below, each lowest first. Conflicts that `stored` has
    already, with `stored_stacks` if they are given, are allowed: they arose when a layer below changed, and the
    effective config leaves them out (agent_config.trust). Paths are spelled as in `sent`.
    """
    kept = _provider_names(config) & _provider_names(stored)
    conflicts = [conflict for stack in stacks for conflict in _conflicts(config, stack, kept)]
    if not conflicts:
        return
    known_conflicts = {
        conflict.what
        for stack in (stacks if stored_stacks is None else stored_stacks)
        for conflict in _conflicts(stored, stack, _provider_names(stored))
    }
    errors: dict[str, list[str]] = {}
    for conflict in conflicts:
        if conflict.what not in known_conflicts:
            errors.setdefault(path(sent_place(conflict.place, sent) or conflict.place), [conflict.sentence])
    if errors:
        raise BadConfig(errors)


def _conflicts(config: Config, stack: Sequence[Layer], own: Set[str]) -> Iterator[_Conflict]:
    """Yield the conflicts of a config with the layers below. Its models may use the providers in `own`."""
    names = trust.names_in(stack) if trust.has_items(config) else trust.NO_NAMES
    for number, item in named_items(config, "api_providers"):
        name = item["name"]
        if folded(name) in names.providers:
            yield _Conflict(
                ("provider", folded(name)),
                (*MODEL, "api_providers", number, "name"),
                _(
                    "a provider of the system, the template or the tenant has this name, and a key of its own: "
                    "choose another name, such as %(name)s, for a provider of your own"
                )
                % {"name": _free_name(name, names.providers | _provider_names(config))},
            )
    for number, item in named_items(config, "models"):
        yield from _model_conflicts(item, (*MODEL, "models", number), names, own)
    for place in redirected(_joined(stack), config):
        yield _Conflict(
            ("address", place, _value(config, place)),
            place,
            _("a layer below has secrets for another address: set the secrets here, too, or leave the address out"),
        )


def _model_conflicts(model: Config, place: Place, names: trust.Names, own: Set[str]) -> Iterator[_Conflict]:
    name, provider = folded(model["name"]), provider_name(model)
    if name in names.models:
        yield _Conflict(
            ("model", name),
            (*place, "name"),
            _(
                "a model of the system, the template or the tenant has this name, and a provider with a key: "
                "choose another name, such as %(name)s, for a model of your own"
            )
            % {"name": _free_name(model["name"], names.models)},
        )
    if provider in names.operators - own:
        yield _Conflict(
            ("use", name, provider),
            (*place, "api_provider"),
            _(
                "this provider is the operators', whose key is for models of theirs: "
                "define a provider of your own under another name, and name that here"
            ),
        )


def _joined(stack: Sequence[Layer]) -> Config:
    result: Config = {}
    for layer in trust.admitted(stack):
        result = trust.combined(result, layer.config)
    return result


def _provider_names(config: Config) -> frozenset[str]:
    return frozenset(folded(item["name"]) for _number, item in named_items(config, "api_providers"))


def _free_name(name: str, taken: Set[str]) -> str:
    """Return a name like this one that is not taken."""
    names = (f"my-{name[: _MAX_NAME - 8]}{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, 1000))))
    return next((each for each in names if folded(each) not in taken), name)


def _value(config: Any, place: Place) -> str:
    for step in place:
        config = config[step]
    return repr(config)
