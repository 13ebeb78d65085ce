"""The secrets in documents, which are sealed where they are stored and masked where they are shown.

    sent ── unmasked ── merged ── sealed ──> stored ── masked ──> shown
                                               └────── opened ──> revealed to a bot

agent_config.secret_names defines which values are secrets. A sealed secret is the object `{"$sealed": <token>}`
(core.sealing); the token of a list is in brackets. Clients cannot send one, because such objects are refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from agent_config.document import MASK, SEALED, Config, is_sealed
from agent_config.errors import BadConfig
from agent_config.schema import path
from agent_config.secret_paths import (
    OMITTED,
    Secret,
    is_list,
    is_mask,
    is_text,
    mask_of,
    reserved,
    rewritten,
    rewritten_below,
)
from core import sealing

# The prefix of what stands for a secret while documents are compared. It is random, so no client's text has it.
_HIDDEN = f"secret {os.urandom(16).hex()} "
_HIDDEN_LIST = f"{_HIDDEN}list "

# The types of objects whose audit rows have a config.
AUDITED = ("agent", "plugin", "template", "tenant")

Patch = list[dict[str, Any]]


def masked(config: Config) -> Config:
    """Return a copy with the mask in place of every secret, and a list of one mask in place of a secret list."""
    result: Config = rewritten(config, mask_of)
    return result


def masked_patch(patch: Patch) -> Patch:
    """Return a copy of a JSON patch (RFC 6902) between configs, with the secrets in its values masked."""
    return [
        {**operation, "value": rewritten_below(_steps(operation["path"]), operation["value"], mask_of)}
        if "value" in operation
        else operation
        for operation in patch
    ]


def masked_audit(audited: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the state in an audit row, with the secrets in its config masked."""
    return {
        key: masked(value) if key in ("config", "tenant_config") and isinstance(value, dict) else value
        for key, value in audited.items()
    }


def unmasked(sent: Config, stored: Config) -> Config:
    """Return a copy of a sent config, with the stored secrets in place of the masks.

    Raise BadConfig for a mask without a stored secret, a mask among other items of a list, and a value that looks
    sealed.
    """
    text = json.dumps(sent)
    errors: dict[str, list[str]] = {}
    if f'"{SEALED}"' in text:
        for place in reserved(sent):
            errors[path((*place, SEALED))] = [_("this looks like a sealed secret, which only the server makes")]

    def kept(secret: Secret) -> Any:
        if is_mask(secret.value):
            if is_sealed(secret.stored) or is_text(secret.stored):
                return secret.stored
            errors.setdefault(path(secret.place), [_("the mask keeps a stored value, and none is stored")])
        elif isinstance(secret.value, list) and MASK in secret.value:
            errors.setdefault(path(secret.place), [_("a mask keeps the whole list, and stands in it alone")])
        return secret.value

    result: Config = rewritten(sent, kept, stored, has_masks=True) if MASK in text else sent
    if errors:
        raise BadConfig(errors)
    return result


def sealed(config: Config, stored: Config) -> Config:
    """Return a copy with every secret sealed. An unchanged secret keeps its stored token."""

    def change(secret: Secret) -> Any:
        if is_sealed(secret.value):
            return secret.value
        is_same = is_sealed(secret.stored) and _same(open_or_none(secret.stored), secret.value)
        return secret.stored if is_same else _sealed(secret.value)

    result: Config = rewritten(config, change, stored if SEALED in json.dumps(stored) else None)
    return result


def count(config: Config) -> int:
    """Return the number of secrets, also of masks of them."""
    found: list[Secret] = []

    def counted(secret: Secret) -> Any:
        found.append(secret)
        return secret.value

    rewritten(config, counted)
    return len(found)


def omitted(config: Config) -> Config:
    """Return a copy without the secrets."""
    result: Config = rewritten(config, lambda _secret: OMITTED)
    return result


def opened(config: Config) -> Config:
    """Return a copy with the secrets in clear. Raise sealing.Unsealable."""
    result: Config = rewritten(config, lambda secret: _opened(secret.value))
    return result


def opened_or_masked(config: Config) -> Config:
    """Return a copy with the secrets in clear, and a mask for those that no configured key can decrypt."""

    def change(secret: Secret) -> Any:
        value = open_or_none(secret.value)
        return mask_of(secret) if value is None else value

    result: Config = rewritten(config, change)
    return result


def open_or_none(value: Any) -> Any:
    """Return a secret in clear, or None if no configured key can decrypt it."""
    try:
        return _opened(value)
    except sealing.Unsealable:
        return None


def any_in(config: Config) -> bool:
    """Return whether a document has a secret."""
    return rewritten(config, lambda _secret: OMITTED) is not config


def sets_any(config: Config, stored: Config) -> bool:
    """Return whether a document that is to be stored has a secret that the stored one does not have."""
    return not _values(config) <= _values(stored)


def without_reserved(config: Config) -> tuple[Config, list[str]]:
    """Return an imported document without the values that look sealed, and their paths."""
    places = reserved(config)
    if not places:
        return config, []
    result = json.loads(json.dumps(config))
    for place in reversed(places):
        holder: Any = result
        for step in place:
            holder = holder[step]
        del holder[SEALED]
    return result, [path((*place, SEALED)) for place in places]


class Resealed(NamedTuple):
    """A stored value, resealed under the newest key as far as possible."""

    value: Any
    is_changed: bool
    lost: Sequence[str] = ()  # the paths of the secrets that no configured key can decrypt, which are unchanged


def resealed(config: Config) -> Resealed:
    """Return a copy with all secrets sealed under the newest key. Those that are already keep their tokens."""
    lost: list[str] = []

    def change(secret: Secret) -> Any:
        if not is_sealed(secret.value):
            return _sealed(secret.value)
        try:
            value = _opened(secret.value)
        except sealing.Unsealable:
            lost.append(path(secret.place))
            return secret.value
        is_current = sealing.is_current(_token(secret.value)) and is_list(secret.value) == is_list(value)
        return secret.value if is_current else _sealed(value)

    result = rewritten(config, change)
    return Resealed(result, result is not config, lost)


def comparable(config: Config) -> Config:
    """Return a copy with digests in place of the secrets, equal for equal secrets.

    It is for comparison only and must not be shown, because a secret could be guessed from its digest:
    `without_sealed` masks them.
    """

    def change(secret: Secret) -> str:
        value = open_or_none(secret.value)
        if value is None:
            return f"{_HIDDEN}{secret.value[SEALED]}"
        prefix = _HIDDEN_LIST if is_list(value) else _HIDDEN
        return f"{prefix}{hashlib.sha256(json.dumps(value).encode()).hexdigest()}"

    result: Config = rewritten(config, change)
    return result


def without_sealed(value: Any) -> Any:
    """Return a copy of a JSON value made of `comparable` documents, with the mask in place of every digest."""
    if isinstance(value, str):
        if value.startswith(_HIDDEN_LIST):
            return [MASK]
        return MASK if value.startswith(_HIDDEN) else value
    if isinstance(value, dict):
        return {key: without_sealed(member) for key, member in value.items()}
    return [without_sealed(member) for member in value] if isinstance(value, list) else value


def _values(config: Config) -> set[str]:
    """Return the secrets in clear, or their tokens where no configured key can decrypt them, as JSON."""
    found: set[str] = set()

    def note(secret: Secret) -> Any:
        value = open_or_none(secret.value)
        found.add(json.dumps(secret.value if value is None else value))
        return secret.value

    rewritten(config, note)
    return found


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _sealed(value: Any) -> dict[str, str]:
    token = sealing.seal(json.dumps(value, ensure_ascii=False))
    return {SEALED: f"[{token}]" if is_list(value) else token}


def _token(value: Any) -> str:
    return str(value[SEALED]).strip("[]")


def _opened(value: Any) -> Any:
    """Return a secret in clear. Raise sealing.Unsealable."""
    return json.loads(sealing.unseal(_token(value))) if is_sealed(value) else value


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are the same JSON, unlike `==`, for which 1 equals True."""
    return json.dumps(one) == json.dumps(other)
