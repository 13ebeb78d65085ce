"""Limits on the size of configs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from agent_config import schema, secrets
from agent_config.document import Config
from agent_config.errors import BadConfig
from core import sealing
from core.errors import Invalid

MAX_BYTES = 256 * 1024
MAX_LEAVES = 5000
MAX_SECRETS = 5000  # of documents that may have more values; each takes some 50 microseconds


def check_sent(sent: Config, stored: Config) -> None:
    """Raise BadConfig if a sent config is too large to be processed at all.

    `check_size` limits the merged config. A sent one may have more values, because nulls remove stored values.
    """
    if has_more_values(sent, MAX_LEAVES + max(MAX_LEAVES, _values(stored))):
        raise BadConfig({"config": [_("the config may have at most 5,000 values")]})


def check_size(config: Config, stored: Config) -> None:
    """Raise BadConfig if the config is larger than MAX_BYTES, or has more than MAX_LEAVES values.

    An imported config may be larger. It may be changed, but must not grow.
    """
    if _size(config) > MAX_BYTES and _size(_opened(config)) > max(MAX_BYTES, _size(_opened(stored))):
        raise BadConfig({"config": [_("the config may have at most 256 KiB")]})
    if (number := _values(config)) > MAX_LEAVES and number > _values(stored):
        raise BadConfig({"config": [_("the config may have at most 5,000 values")]})


def schema_name(name: str | None) -> str | None:
    """Return the name of a schema, or None for an empty one. Raise Invalid for an unknown one."""
    if name and name not in schema.NAMES:
        raise Invalid({"config_schema": [_("must be one of: %(names)s") % {"names": ", ".join(schema.NAMES)}]})
    return name or None


def has_too_many_secrets(documents: Sequence[Config], stored: Config) -> bool:
    """Return whether documents without a schema have more than MAX_SECRETS together, and more than what is stored."""
    return sum(map(secrets.count, documents)) > max(MAX_SECRETS, secrets.count(stored))


def has_more_values(config: Config, number: int) -> bool:
    """Return whether a config has more than so many values, counting no further than that."""
    return next(islice(_leaves(config), number, None), _NOTHING) is not _NOTHING


def _size(config: Config) -> int:
    return len(json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode())


def _values(config: Config) -> int:
    return sum(1 for _value in _leaves(config))


def _opened(config: Config) -> Config:
    """Return a config with its secrets in clear, which is shorter, or sealed if one of them cannot be decrypted."""
    try:
        return secrets.opened(config)
    except sealing.Unsealable:
        return config


_NOTHING = object()


def _leaves(config: Config) -> Iterator[Any]:
    """Yield every scalar, empty object and empty list, in any order."""
    left: list[Any] = [config]
    while left:
        value = left.pop()
        members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if members:
            left += members
        else:
            yield value
