"""Names as they can be kept here: not empty, not too long, and each once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import NamedTuple

from core.text import Fold, cut, fold_name, name_error, visible


class Name(NamedTuple):
    """A name, and why it is not as it was; None where it is."""

    text: str
    problem: str | None = None


def kept(value: str | None, object_id: object, *, most: int, fold: Fold = fold_name, printable: bool = False) -> Name:
    """The name that an object keeps: without blanks around it and what a name may not hold, cut to `most` characters;
    its id, if nothing is left.

    The folded form, by which names are unique, may have three times as many.
    """
    given = (value or "").strip()
    if not given:
        return Name(str(object_id), "it was empty")
    text = visible(given)
    if name_error(text):
        return Name(str(object_id), "nothing of it could be seen")
    if printable and not text.isprintable():
        return Name(str(object_id), "it had characters that cannot be printed")
    short = cut(text, most, fold=fold, most_folded=3 * most)
    problems = [
        problem
        for problem, is_so in (
            ("it had control, direction or invisible characters", text != given),
            ("it was too long", short != text),
        )
        if is_so
    ]
    return Name(short, " and ".join(problems) or None)


def distinct(name: str, object_id: str, is_free: Callable[[str], bool], *, most: int, fold: Fold = fold_name) -> str:
    """Another name for one that somebody else has: with the object's id, so that it is the same in each run. Only
    where somebody has that one, too, there is a number with it."""
    for number in count(1):
        suffix = f" ({object_id})" if number == 1 else f" ({object_id}, {number})"
        other = cut(name, most - len(suffix), fold=fold, most_folded=3 * (most - len(suffix))) + suffix
        if is_free(other):
            return other
    raise AssertionError("unreachable")


def is_distinct_form(stored: str, name: str, object_id: str) -> bool:
    """Tell whether `stored` is what `distinct` makes of a name for the sake of somebody who has it."""
    suffix = re.search(rf" \({re.escape(object_id)}(, \d+)?\)$", stored)
    return suffix is not None and name.startswith(stored[: suffix.start()])


def later_namesakes(names: Iterable[tuple[str, str, str]], *, fold: Fold = fold_name) -> set[str]:
    """Of (scope, id, name), in the order in which they are to be served, the ids whose names somebody before them has
    in their scope."""
    seen, later = set[tuple[str, str]](), set[str]()
    for scope, object_id, name in names:
        place = (scope, fold(name))
        if place in seen:
            later.add(object_id)
        seen.add(place)
    return later


def of_later_namesakes(names: Iterable[tuple[str, str, str]], *, most: int, fold: Fold = fold_name) -> dict[str, str]:
    """The same ids, with the names that they get instead."""
    names = list(names)
    taken = {(scope, fold(name)) for scope, _object_id, name in names}
    later = later_namesakes(names, fold=fold)
    others = dict[str, str]()
    for scope, object_id, name in names:
        if object_id in later:
            is_free = partial(_is_free, taken, scope, fold)
            others[object_id] = distinct(name, object_id, is_free, most=most, fold=fold)
            taken.add((scope, fold(others[object_id])))
    return others


def _is_free(taken: set[tuple[str, str]], scope: str, fold: Fold, name: str) -> bool:
    return (scope, fold(name)) not in taken
