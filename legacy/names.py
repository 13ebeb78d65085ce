"""Names as they can be kept here: not empty, not too long, and each once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from maim.common.text import fold


class Name(NamedTuple):
    """A name, and why it is not as it was; None where it is."""

    text: str
    problem: str | None = None


def kept(value: str | None, object_id: str, *, most: int, printable: bool = False) -> Name:
    """The name that an object keeps: without blanks around it, cut to `most` characters; its id, if nothing is left.

    The folded form, by which names are unique, may have three times as many.
    """
    text = (value or "").strip()
    if not text:
        return Name(object_id, "it was empty")
    if printable and not text.isprintable():
        return Name(object_id, "it had characters that cannot be printed")
    short = text[:most].rstrip()
    while len(fold(short)) > 3 * most:
        short = short[:-1]
    return Name(short) if short == text else Name(short, "it was too long")


def distinct(name: str, object_id: str, *, most: int) -> str:
    """Another name for one that somebody else has: with the object's id, so that it is the same in each run."""
    suffix = f" ({object_id})"
    return f"{name[: most - len(suffix)].rstrip()}{suffix}"


def later_namesakes(names: Iterable[tuple[str, str, str]]) -> set[str]:
    """Of (scope, id, name), in the order in which they are to be served, the ids whose names somebody before them has
    in their scope."""
    seen, later = set[tuple[str, str]](), set[str]()
    for scope, object_id, name in names:
        place = (scope, fold(name))
        if place in seen:
            later.add(object_id)
        seen.add(place)
    return later
