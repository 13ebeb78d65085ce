"""The parse tree of a regex as parts of a few kinds, made from that of Python's `re`."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from operator import or_
from typing import Any

from agent_config.schema import charsets

# The parser has no public name, and type checkers know none.
_parser: Any = import_module("re._parser")
op: Any = import_module("re._constants")

UNLIMITED = int(op.MAXREPEAT)  # turns


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a regex: the characters it may begin with, and whether it can be empty.

    An instance of this class itself is a character or an anchor.
    """

    first: int
    can_be_empty: bool

    def begins(self, follow: int) -> int:
        """Return the characters that may come at the start of this part, if `follow` may come after it."""
        return self.first | follow if self.can_be_empty else self.first

    @property
    def within(self) -> tuple[Part, ...]:
        """The parts within this one."""
        return ()

    def holds(self, is_wanted: Callable[[Part], bool]) -> bool:
        """Return whether this part, or one within it, is wanted."""
        return is_wanted(self) or any(part.holds(is_wanted) for part in self.within)

    @property
    def characters(self) -> int:
        """The characters that it may match."""
        return reduce(or_, (part.characters for part in self.within), 0) if self.within else self.first

    @property
    def last(self) -> int:
        """The characters that it may end with if it is not empty."""
        found = 0
        for part in reversed(self.within):
            found |= part.last
            if not part.can_be_empty:
                break
        return found if self.within else self.first


@dataclass(frozen=True, slots=True)
class Beginning(Part):
    """The beginning of the text, which a search tries at no other position."""


@dataclass(frozen=True, slots=True)
class Reference(Part):
    """A reference to a group, which may match any text."""


@dataclass(frozen=True, slots=True)
class Sequence(Part):
    """Parts in sequence."""

    within: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Choice(Part):
    """Alternative parts."""

    within: tuple[Part, ...]

    @property
    def last(self) -> int:
        return reduce(or_, (part.last for part in self.within), 0)


@dataclass(frozen=True, slots=True)
class Repeat(Part):
    """`low` to `high` turns of a part."""

    body: Part
    low: int
    high: int

    @property
    def within(self) -> tuple[Part, ...]:
        return (self.body,)


@dataclass(frozen=True, slots=True)
class Look(Part):
    """A look-ahead or look-behind, which consumes no characters and is not tried again after it succeeded."""

    body: Part

    @property
    def characters(self) -> int:
        return 0

    @property
    def last(self) -> int:
        return 0

    @property
    def within(self) -> tuple[Part, ...]:
        return (self.body,)


class TooWide(ValueError):
    """The ranges of a regex hold too many characters together."""


def read(regex: str, *, max_ranges: int) -> Part:
    """Return the parts of a regex. Raise re.error, as `re.compile` does, or TooWide."""
    parsed = _parse(regex)
    return _Reader(max_ranges).sequence(parsed, parsed.state.flags)


_warnings_lock = threading.Lock()


def _parse(regex: str) -> Any:
    # `re` warns about syntax that may change, which nobody would see here. Warning filters are global, hence the lock.
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _parser.parse(regex)


_EMPTY = Part(0, True)
_CLASSES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}


class _Reader:
    def __init__(self, max_ranges: int) -> None:
        self._ranges_left = max_ranges

    def sequence(self, parsed: Any, flags: int) -> Part:
        parts = tuple(self._readers[code](self, argument, flags) for code, argument in parsed)
        first = 0
        for part in parts:
            first |= part.first
            if not part.can_be_empty:
                return Sequence(first, False, parts)
        return Sequence(first, True, parts)

    def _anchor(self, argument: Any, flags: int) -> Part:
        is_first = argument == op.AT_BEGINNING_STRING or (argument == op.AT_BEGINNING and not flags & re.MULTILINE)
        return Beginning(0, True) if is_first else _EMPTY

    def _failure(self, _argument: Any, _flags: int) -> Part:
        return Part(0, False)

    def _reference(self, _argument: Any, _flags: int) -> Part:
        return Reference(charsets.ALL, True)

    def _group(self, argument: Any, flags: int) -> Part:
        _number, added, removed, body = argument
        return self.sequence(body, (flags | added) & ~removed)

    def _branch(self, argument: Any, flags: int) -> Part:
        return self._choice(argument[1], flags)

    def _conditional(self, argument: Any, flags: int) -> Part:
        _group, then, otherwise = argument
        return self._choice((then, otherwise or ()), flags)

    def _choice(self, bodies: Iterable[Any], flags: int) -> Part:
        branches = tuple(self.sequence(body, flags) for body in bodies)
        first = reduce(or_, (branch.first for branch in branches))
        return Choice(first, any(branch.can_be_empty for branch in branches), branches)

    def _repeat(self, argument: Any, flags: int) -> Part:
        low, high, parsed = argument
        body = self.sequence(parsed, flags)
        return Repeat(body.first, low == 0 or body.can_be_empty, body, low, int(high)) if high else _EMPTY

    def _look(self, argument: Any, flags: int) -> Part:
        direction, body = argument
        narrowest, widest = body.getwidth()
        if direction < 0 and narrowest != widest:
            raise re.error("look-behind requires fixed-width pattern")
        return Look(0, True, self.sequence(body, flags))

    def _any(self, _argument: Any, flags: int) -> Part:
        return Part(charsets.ALL if flags & re.DOTALL else charsets.without(charsets.one(ord("\n"))), False)

    def _literal(self, code: int, flags: int) -> Part:
        return Part(charsets.one_in_any_case(code) if flags & re.IGNORECASE else charsets.one(code), False)

    def _not_literal(self, code: int, _flags: int) -> Part:
        return Part(charsets.without(charsets.one(code)), False)

    def _set(self, members: Any, flags: int) -> Part:
        if members[0][0] == op.NEGATE:
            # What other cases of its members match is left in: the set may be too large, but not too small.
            return Part(charsets.without(self._union(members[1:], flags & ~re.IGNORECASE)), False)
        return Part(self._union(members, flags), False)

    def _union(self, members: Any, flags: int) -> int:
        found = 0
        for kind, value in members:
            if kind == op.LITERAL:
                found |= self._literal(value, flags).first
            elif kind == op.CATEGORY:
                found |= charsets.of_class(_CLASSES[value], flags)
            else:
                found |= self._range(value, flags)
        return found

    def _range(self, bounds: tuple[int, int], flags: int) -> int:
        low, high = bounds
        self._ranges_left -= max(0, min(high, 0xFFFF) - low)  # what lies beyond costs `re.compile` nothing
        if self._ranges_left < 0:
            raise TooWide
        found = charsets.between(low, high)
        return charsets.in_any_case(found) if flags & re.IGNORECASE else found

    _readers: dict[Any, Callable[[_Reader, Any, int], Part]] = {
        op.ANY: _any,
        op.ASSERT: _look,
        op.ASSERT_NOT: _look,
        op.AT: _anchor,
        op.ATOMIC_GROUP: sequence,
        op.BRANCH: _branch,
        op.FAILURE: _failure,
        op.GROUPREF: _reference,
        op.GROUPREF_EXISTS: _conditional,
        op.IN: _set,
        op.LITERAL: _literal,
        op.MAX_REPEAT: _repeat,
        op.MIN_REPEAT: _repeat,
        op.NOT_LITERAL: _not_literal,
        op.POSSESSIVE_REPEAT: _repeat,
        op.SUBPATTERN: _group,
    }
