"""A config's secrets: sealed where they are stored, masked where they are shown.

    sent ── unmasked ── merged ── sealed ──> stored ── masked ──> shown
                                               └────── opened ──> revealed to a bot

A sealed secret is the object `{"$sealed": <token>}` in the secret's place (maim.common.sealing). A client
cannot send one: the places of secrets take texts and lists.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from agents.config.document import MASK, SEALED, Config, is_sealed, secret_places
from agents.errors import BadConfig
from maim.common import sealing

# What stands for a secret while configs are compared begins so, and no text of a client does.
_HIDDEN = f"secret {os.urandom(16).hex()} "


def masked(config: Config) -> Config:
    """A copy in which every secret that is set reads as the mask. What holds none is shared with the original."""
    result = _copied_to_secrets(config)
    for holder, key, _path in secret_places(result):
        holder[key] = MASK
    return result


def unmasked(sent: Config, stored: Config) -> Config:
    """A copy of what was sent, with the stored secret wherever the mask stands for it.

    A provider's are those of the stored provider of its name. Raises BadConfig where nothing is stored.
    """
    result = _copied_to_secrets(sent)
    old = _by_place(stored)
    left: dict[str, list[str]] = {}
    for holder, key, path in secret_places(result):
        if holder[key] == MASK:
            before = old.get(_place(holder, key))
            if before is None:
                left[path] = [_("the mask keeps a stored value, and none is stored")]
            else:
                holder[key] = before
    if left:
        raise BadConfig(left)
    return result


def sealed(config: Config, stored: Config) -> Config:
    """A copy in which every secret is sealed; one that is as it was stored stays sealed as it was."""
    result = _copied_to_secrets(config)
    old = _by_place(stored)
    for holder, key, _path in secret_places(result):
        if not is_sealed(holder[key]):
            before = old.get(_place(holder, key))
            is_same = before is not None and _open_or_none(before) == holder[key]
            holder[key] = before if is_same else {SEALED: sealing.seal(json.dumps(holder[key], ensure_ascii=False))}
    return result


def omitted(config: Config) -> Config:
    """A copy without the secrets that are set."""
    result = _copied_to_secrets(config)
    for holder, key, _path in secret_places(result):
        del holder[key]
    return result


def opened(config: Config) -> Config:
    """A copy with the secrets themselves. Raises sealing.Unsealable."""
    result = _copied_to_secrets(config)
    for holder, key, _path in secret_places(result):
        if is_sealed(holder[key]):
            holder[key] = json.loads(sealing.unseal(holder[key][SEALED]))
    return result


class Resealed(NamedTuple):
    """A config as far as it could be sealed under the newest key."""

    config: Config
    is_changed: bool
    lost: list[str]  # the paths of the secrets that no configured key opens; they are as they were


def resealed(config: Config) -> Resealed:
    """A copy sealed under the newest key; what has been already stays as it is."""
    result = _copied_to_secrets(config)
    is_changed, lost = False, []
    for holder, key, path in secret_places(result):
        if not is_sealed(holder[key]):
            holder[key] = {SEALED: sealing.seal(json.dumps(holder[key], ensure_ascii=False))}
            is_changed = True
        elif not sealing.is_current(holder[key][SEALED]):
            try:
                holder[key] = {SEALED: sealing.reseal(holder[key][SEALED])}
                is_changed = True
            except sealing.Unsealable:
                lost.append(path)
    return Resealed(result, is_changed, lost)


def comparable(config: Config) -> Config:
    """A copy in which equal secrets are equal, and different ones differ, and none can be read.

    It is for comparing only: what stands for a secret could be guessed at. `without_sealed` makes it fit to be shown.
    """
    result = _copied_to_secrets(config)
    for holder, key, _path in secret_places(result):
        value = _open_or_none(holder[key])
        shown = holder[key][SEALED] if value is None else hashlib.sha256(json.dumps(value).encode()).hexdigest()
        holder[key] = f"{_HIDDEN}{shown}"
    return result


def without_sealed(value: Any) -> Any:
    """A copy of any JSON value made of comparable configs, with the mask in the place of every secret."""
    if isinstance(value, str):
        return MASK if value.startswith(_HIDDEN) else value
    if isinstance(value, dict):
        return {key: without_sealed(member) for key, member in value.items()}
    return [without_sealed(member) for member in value] if isinstance(value, list) else value


def _copied_to_secrets(config: Config) -> Config:
    """A copy of the objects that lead to secrets; a deep one would take longer than all else that is done with it."""
    overrides = config.get("config_overrides")
    if not isinstance(overrides, dict):
        return dict(config)
    overrides = dict(overrides)
    message, model = overrides.get("maim_message"), overrides.get("model")
    if isinstance(message, dict):
        overrides["maim_message"] = dict(message)
    if isinstance(model, dict):
        providers = model.get("api_providers")
        overrides["model"] = dict(model)
        if isinstance(providers, list):
            overrides["model"]["api_providers"] = [
                dict(provider) if isinstance(provider, dict) else provider for provider in providers
            ]
    return {**config, "config_overrides": overrides}


def _by_place(config: Config) -> dict[tuple[str, str], Any]:
    return {_place(holder, key): holder[key] for holder, key, _path in secret_places(config)}


def _place(holder: Config, key: str) -> tuple[str, str]:
    """Where a secret belongs, whatever the order of the providers."""
    return ("" if key == "auth_token" else str(holder.get("name")), key)


def _open_or_none(value: Any) -> Any:
    try:
        return json.loads(sealing.unseal(value[SEALED])) if is_sealed(value) else value
    except sealing.Unsealable:
        return None
