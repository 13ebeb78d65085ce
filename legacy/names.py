"""Names from the old databases, made valid and unique."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from core.text import Fold, cut, fold_name, name_error, unique_name, visible


class ValidName(NamedTuple):
    """A valid name. `problem` says why the given name was changed, or is None if it was not."""

    text: str
    problem: str | None = None


def valid_name(
    value: str | None, object_id: object, *, max_length: int, fold: Fold = fold_name, printable: bool = False
) -> ValidName:
    """Return the name without surrounding blanks and forbidden characters, cut to `max_length` characters.

    If nothing is left, the object's id becomes the name. The folded form, by which names are unique, may be three
    times as long.
    """
    given = (value or "").strip()
    if not given:
        return ValidName(str(object_id), "it was empty")
    text = visible(given)
    if name_error(text):
        return ValidName(str(object_id), "it had no visible characters")
    if printable and not text.isprintable():
        return ValidName(str(object_id), "it had characters that cannot be printed")
    short = cut(text, max_length, fold=fold, max_folded_length=3 * max_length)
    problems = []
    if text != given:
        problems.append("it had control, direction or invisible characters")
    if short != text:
        problems.append("it was too long")
    return ValidName(short, " and ".join(problems) or None)


def is_unique_form(stored: str, name: str, object_id: str) -> bool:
    """Return whether `stored` is what `unique_name` made of `name`."""
    suffix = re.search(rf" \({re.escape(object_id)}(, \d+)?\)$", stored)
    return suffix is not None and name.startswith(stored[: suffix.start()])


def later_duplicates(names: Iterable[tuple[str, str, str]], *, fold: Fold = fold_name) -> set[str]:
    """Return the ids of objects whose name an earlier object of their scope has.

    `names` has tuples of scope, id and name; an earlier one keeps its name.
    """
    seen, duplicates = set[tuple[str, str]](), set[str]()
    for scope, object_id, name in names:
        key = (scope, fold(name))
        if key in seen:
            duplicates.add(object_id)
        seen.add(key)
    return duplicates


def names_for_duplicates(
    names: Iterable[tuple[str, str, str]], *, max_length: int, fold: Fold = fold_name
) -> dict[str, str]:
    """Return unique names for the objects of `later_duplicates`, by id."""
    names = list(names)
    taken = {(scope, fold(name)) for scope, _object_id, name in names}
    duplicates = later_duplicates(names, fold=fold)
    renamed = dict[str, str]()
    for scope, object_id, name in names:
        if object_id in duplicates:
            is_free = partial(_is_free, taken, scope, fold)
            renamed[object_id] = unique_name(name, object_id, is_free, max_length=max_length, fold=fold)
            taken.add((scope, fold(renamed[object_id])))
    return renamed


def _is_free(taken: set[tuple[str, str]], scope: str, fold: Fold, name: str) -> bool:
    return (scope, fold(name)) not in taken
