"""Changes as they are shown: added, changed and removed objects, with their secrets masked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from agent_config.document import MASK
from agent_config.patches import make_patch
from agent_config.secrets import comparable, without_sealed
from core.audit import differ
from provisioning.yaml_file import Place


class Sign(StrEnum):
    """The kind of a change."""

    ADD = "+"
    CHANGE = "~"
    REMOVE = "-"
    SKIP = "!"  # what the file has and cannot be done here


class FieldChange(NamedTuple):
    """A field, or a value in a config, before and after a change. `before` is None for what is new or not shown."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Change:
    """A change of one object. `path` names it and what it is in; `place` is where the file has it."""

    sign: Sign
    kind: str
    path: tuple[str, ...]
    place: Place
    fields: Sequence[FieldChange] = ()
    note: str = ""


def changed_fields(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], names: Collection[str]
) -> list[FieldChange]:
    """Return the fields with these names that differ; of a new object, all of them."""
    if before is None:
        return [FieldChange(name, None, after[name]) for name in after if name in names]
    return [
        FieldChange(name, before[name], after[name])
        for name in after
        if name in names and differ(before[name], after[name])
    ]


def config_changes(
    name: str, before: dict[str, Any], after: dict[str, Any], hide: Callable[[Any], Any]
) -> list[FieldChange]:
    """Return the values that differ between two stored configs. `hide` masks the values of variables in one.

    Secrets are masked, too. Former texts are not shown at all, because a value that is no secret by its name may have
    come from a variable before.
    """
    before, after = comparable(before), comparable(after)
    shown = without_sealed(hide(after))
    found = []
    for operation in make_patch(before, after):
        pointer: str = operation["path"]
        old = _at(before, pointer)
        new = None if operation["op"] == "remove" else _at(shown, pointer)
        is_shown = isinstance(old, bool | int | float) and new != MASK
        found.append(FieldChange(f"{name} {pointer or '/'}", old if is_shown else None, new))
    return found


def _at(config: Any, pointer: str) -> Any:
    """Return the value at a JSON pointer; None if there is none."""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        try:
            config = config[int(key)] if isinstance(config, list) else config[key]
        except (KeyError, IndexError, ValueError):
            return None
    return config
