"""The data migrations from versions that sealed secrets in three places only to the rule about secrets.

Those versions sealed providers' keys and addresses, and the message server's tokens. An object that looks sealed in
any other place was sent by a client.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agent_config.document import AGENT_DEFAULTS, SEALED, is_token
from agent_config.secret_paths import Place, Secret, rewritten
from agent_config.secrets import open_or_none, resealed
from core import sealing

BATCH = 200


def sealed_at_first(document: Any) -> Any:
    """Return a document of the earlier version with all secrets sealed."""
    return resealed(_as_values(document, ())).value


def opened_for_before(document: Any) -> Any:
    """Return a document as the earlier version would have stored it. Secrets that no key can decrypt stay sealed."""

    def change(secret: Secret) -> Any:
        value = None if _was_secret(secret.place) else open_or_none(secret.value)
        return secret.value if value is None else value

    return rewritten(document, change)


def rewrite(rows: Any, **changes: Callable[[Any], Any]) -> None:
    """Change columns of all rows of a queryset, in batches."""
    columns = ["pk", *changes]
    ordered = rows.order_by("pk")
    batch = list(ordered.select_for_update().values_list(*columns)[:BATCH])
    while batch:
        for pk, *values in batch:
            old = {name: value for name, value in zip(changes, values, strict=True) if value is not None}
            new = {name: changes[name](value) for name, value in old.items()}
            if new != old:
                rows.filter(pk=pk).update(**new)
        batch = list(ordered.select_for_update().filter(pk__gt=batch[-1][0]).values_list(*columns)[:BATCH])


def _was_secret(place: Place) -> bool:
    if place[:1] == (AGENT_DEFAULTS,):
        place = place[1:]
    steps = tuple(step for step in place if isinstance(step, str))
    return steps in {
        ("config_overrides", "maim_message", "auth_token"),
        ("config_overrides", "model", "api_providers", "api_key"),
        ("config_overrides", "model", "api_providers", "base_url"),
    }


def _as_values(value: Any, place: Place) -> Any:
    """Return a copy in which clients' objects that look sealed are sealed themselves, as ordinary values."""
    if isinstance(value, dict):
        if is_token(value.get(SEALED)) and not _was_secret(place):
            return {SEALED: sealing.seal(json.dumps(value, ensure_ascii=False))}
        return {key: _as_values(member, (*place, key)) for key, member in value.items()}
    if isinstance(value, list):
        return [_as_values(member, (*place, number)) for number, member in enumerate(value)]
    return value
