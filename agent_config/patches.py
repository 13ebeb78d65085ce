"""JSON patches (RFC 6902) between configs, computed in linear time.

Objects are compared key by key. In lists, equal items at both ends are skipped, and the items between them compared
one by one, in order. An object or list is replaced as a whole where its single changes would take more room.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from agent_config import secrets
from agent_config.document import Config

Patch = list[dict[str, Any]]

ROOM = 4096  # bytes that single operations may always take, however small the value that they change


def make_patch(before: Any, after: Any) -> Patch:
    """Return the operations that turn `before` into `after`. They share values with both and must not be changed.

    They take no more room than ROOM, or than replacing `before` by `after` as a whole.
    """
    return [sized.operation for sized in _changes(before, after, "")]


def masked_patch(before: Config, after: Config) -> Patch:
    """Return the patch between two stored configs. Changed secrets are listed, with masks as their values."""
    operations = make_patch(secrets.comparable(before), secrets.comparable(after))
    return [secrets.without_sealed(operation) for operation in operations]


class _Sized(NamedTuple):
    """An operation and its size."""

    operation: dict[str, Any]
    size: int  # about how many bytes it takes


def _changes(before: Any, after: Any, pointer: str) -> Iterator[_Sized]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _bounded(_changes_of_members(before, after, pointer), after, pointer)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _bounded(_changes_of_items(before, after, pointer), after, pointer)
    elif _spelled(before) != _spelled(after):
        yield _operation("replace", pointer, after)


def _bounded(changes: Iterator[_Sized], after: Any, pointer: str) -> Iterator[_Sized]:
    """Yield the changes of an object or list, or its replacement if that takes less room."""
    found: list[_Sized] = []
    taken, whole = 0, None
    for sized in changes:
        found.append(sized)
        taken += sized.size
        if taken > ROOM:
            whole = whole or _operation("replace", pointer, after)
            if taken > whole.size:
                yield whole
                return
    yield from found


def _changes_of_members(before: dict[str, Any], after: dict[str, Any], pointer: str) -> Iterator[_Sized]:
    yield from (_operation("remove", _pointer(pointer, key)) for key in before if key not in after)
    for key, member in after.items():
        if key in before:
            yield from _changes(before[key], member, _pointer(pointer, key))
        else:
            yield _operation("add", _pointer(pointer, key), member)


def _changes_of_items(before: list[Any], after: list[Any], pointer: str) -> Iterator[_Sized]:
    old, new = [_spelled(item) for item in before], [_spelled(item) for item in after]
    shorter = min(len(old), len(new))
    head = next((number for number in range(shorter) if old[number] != new[number]), shorter)
    tail = next((number for number in range(shorter - head) if old[-1 - number] != new[-1 - number]), shorter - head)
    paired = shorter - tail
    for number in range(head, paired):
        if old[number] != new[number]:
            yield from _changes(before[number], after[number], f"{pointer}/{number}")
    for number in reversed(range(paired, len(old) - tail)):
        yield _operation("remove", f"{pointer}/{number}")
    for number in range(paired, len(new) - tail):
        yield _operation("add", f"{pointer}/{number}", after[number])


def _spelled(value: Any) -> bytes:
    """Return a value's JSON with sorted keys, which tells 1, 1.0 and true apart."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


_NOTHING = object()


def _operation(kind: str, pointer: str, value: Any = _NOTHING) -> _Sized:
    operation = {"op": kind, "path": pointer}
    if value is _NOTHING:
        return _Sized(operation, len(pointer))
    return _Sized({**operation, "value": value}, len(pointer) + len(orjson.dumps(value)))


def _pointer(above: str, key: str) -> str:
    return f"{above}/{key.replace('~', '~0').replace('/', '~1')}"
