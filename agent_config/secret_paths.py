"""The traversal of a document that finds its secrets by the rule (agent_config.secret_names)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from agent_config.document import MASK, SEALED, is_object, is_sealed, is_token
from agent_config.secret_names import ROOT, Node, names

OMITTED = object()  # returned by a change for a secret to remove
Place = tuple[str | int, ...]


class Secret(NamedTuple):
    """A secret in a document: a text, a list or a sealed object."""

    value: Any
    stored: Any  # its counterpart in the stored document, or None
    place: Place


Change = Callable[[Secret], Any]
_EMPTY: dict[str, Any] = {}


def rewritten(document: Any, change: Change, stored: Any = None, *, has_masks: bool = False) -> Any:
    """Return a copy of a document with each secret replaced by what `change` returns for it.

    Objects without secrets are shared with the original. With `stored`, each secret comes with its counterpart there:
    objects in lists are matched by `name`, else by `id`, else by position. With `has_masks`, objects without a name
    are first matched by their masked content.
    """
    return _Walk(change, has_masks=has_masks).value(document, stored, ROOT, is_covered=False)


def rewritten_below(steps: Iterable[str], value: Any, change: Change) -> Any:
    """Return a copy of the value at a JSON pointer's steps, as `rewritten` would copy it within its document."""
    node: Node | None = ROOT
    is_covered = False
    for step in steps:
        below = node.get(step) if node else None
        if below is None and node and (step.isdecimal() or step == "-"):
            below = node.get("[]")
        is_covered = is_covered or names()[step] or below == {}
        node = below
    return _Walk(change).value(value, None, node, is_covered=is_covered)


def is_text(value: Any) -> bool:
    """Return whether a value can be a secret: a text that is not empty, or a list of scalars with a text among them."""
    if isinstance(value, str):
        return value != ""
    return (
        isinstance(value, list)
        and any(isinstance(item, str) for item in value)
        and not any(isinstance(item, dict | list) for item in value)
    )


def is_mask(value: Any) -> bool:
    """Return whether a sent value stands for a stored secret."""
    return value in (MASK, [MASK])


def mask_of(secret: Secret) -> Any:
    """Return the mask of a secret, which for a list is a list."""
    return [MASK] if is_list(secret.value) else MASK


def is_list(value: Any) -> bool:
    """Return whether a secret is a list, whose token is in brackets if it is sealed."""
    return str(value[SEALED]).startswith("[") if is_sealed(value) else isinstance(value, list)


def reserved(value: dict[str, Any] | list[Any], place: Place = ()) -> list[Place]:
    """Return the places in a foreign document of objects that look like sealed secrets, outer objects first."""
    found: list[Place] = [place] if isinstance(value, dict) and is_token(value.get(SEALED)) else []
    for step, member in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(member, dict | list):
            found += reserved(member, (*place, step))
    return found


class _Walk:
    """A traversal of a document, together with its stored counterpart and the tree of documented paths."""

    def __init__(self, change: Change, *, has_masks: bool = False) -> None:
        self._change = change
        self._has_masks = has_masks
        self._names = names()
        self._place: list[str | int] = []

    def value(self, value: Any, stored: Any, node: Node | None, *, is_covered: bool) -> Any:
        if is_sealed(value) or ((is_covered or (stored is not None and is_sealed(stored))) and is_text(value)):
            return self._change(Secret(value, stored, tuple(self._place)))
        if isinstance(value, dict):
            before = stored if stored is not None and is_object(stored) else _EMPTY
            return self._object(value, before, node, is_covered=is_covered)
        if isinstance(value, list):
            return self._list(value, stored, node, is_covered=is_covered)
        return value

    def _object(self, value: dict[str, Any], stored: dict[str, Any], node: Node | None, *, is_covered: bool) -> Any:
        result, secret_names = value, self._names
        for key, member in value.items():
            is_single = isinstance(member, str)
            if not is_single and not isinstance(member, (dict, list)):
                continue
            below = node.get(key) if node else None
            is_secret = is_covered or secret_names[key] or below == {}
            before = stored.get(key) if stored else None
            if is_single and not is_secret and (before is None or not is_sealed(before)):
                continue
            self._place.append(key)
            new = self.value(member, before, below, is_covered=is_secret)
            self._place.pop()
            if new is not member:
                if result is value:
                    result = dict(value)
                if new is OMITTED:
                    del result[key]
                else:
                    result[key] = new
        return result

    def _list(self, value: list[Any], stored: Any, node: Node | None, *, is_covered: bool) -> Any:
        if not _can_hold_secrets(value, is_covered=is_covered):
            return value
        below = node.get("[]") if node else None
        before = self._counterparts(value, stored, below, is_covered=is_covered) if isinstance(stored, list) else None
        result = value
        for number, item in enumerate(value):
            self._place.append(number)
            new = self.value(item, before and before[number], below, is_covered=is_covered)
            self._place.pop()
            if new is not item:
                if result is value:
                    result = list(value)
                result[number] = new
        return value if result is value else [item for item in result if item is not OMITTED]

    def _counterparts(self, items: list[Any], stored: list[Any], node: Node | None, *, is_covered: bool) -> list[Any]:
        """Return for each item of a list the stored item that it corresponds to, or None."""
        found: list[Any] = [None] * len(items)
        all_theirs = _by_identity(stored, is_covered=is_covered)
        reads = self._has_masks and MASK in json.dumps(items)
        for identity, ours in _by_identity(items, is_covered=is_covered).items():
            theirs = all_theirs.get(identity, [])
            pairs: dict[int, int] = {}
            if reads and len(ours) + len(theirs) > 2:
                pairs = _equal_pairs(
                    _masked_items(items, ours, node, is_covered=is_covered),
                    _masked_items(stored, theirs, node, is_covered=is_covered),
                )
            if len(ours) == len(theirs):
                taken = set(pairs.values())
                by_position = zip(ours, theirs, strict=True)
                pairs |= {one: other for one, other in by_position if one not in pairs and other not in taken}
            for one, other in pairs.items():
                found[one] = stored[other]
        return found


def _can_hold_secrets(items: list[Any], *, is_covered: bool) -> bool:
    """Return whether a list may have secrets, which are members of objects unless the list itself is covered."""
    left = [items]
    while left:
        for item in left.pop():
            if isinstance(item, dict):
                return True
            if isinstance(item, list):
                if is_covered:
                    return True
                left.append(item)
    return False


def _masked_items(items: list[Any], numbers: list[int], node: Node | None, *, is_covered: bool) -> dict[int, str]:
    """Return some items of a list as JSON with masked secrets, by number."""
    walk = _Walk(mask_of)
    shown = {number: walk.value(items[number], None, node, is_covered=is_covered) for number in numbers}
    return {number: json.dumps(item, sort_keys=True) for number, item in shown.items()}


def _by_identity(items: Sequence[Any], *, is_covered: bool) -> dict[Any, list[int]]:
    """Return the numbers of the items by name or id. Items without one, or with a secret one, are under None."""
    found = defaultdict[Any, list[int]](list)
    for number, item in enumerate(items):
        found[None if is_covered else _identity(item)].append(number)
    return found


def _identity(item: Any) -> Any:
    if isinstance(item, dict):
        for key in ("name", "id"):
            value = item.get(key)
            if isinstance(value, str | int) and value not in ("", MASK):
                return key, value
    return None


def _equal_pairs(ours: dict[int, str], theirs: dict[int, str]) -> dict[int, int]:
    """Return the pairs of items with equal texts, where both sides have equally many of them."""
    by_text = defaultdict[str, tuple[list[int], list[int]]](lambda: ([], []))
    for side, texts in enumerate((ours, theirs)):
        for number, text in texts.items():
            by_text[text][side].append(number)
    even = (sides for sides in by_text.values() if len(sides[0]) == len(sides[1]))
    return {one: other for sides in even for one, other in zip(*sides, strict=True)}
