"""A strict reader of YAML, which knows the line of each value.

It takes what has one meaning: text, numbers, true, false, null, lists and mappings with distinct keys. `no`, `12:30`
and dates are text, as in YAML 1.2. Anchors, aliases, tags and several documents are refused, so that a file is as large
as it looks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml
from django.utils.translation import gettext as _

from core import strict_json

MAX_BYTES = 2 * 1024 * 1024
# Deeper than any config that the services take, which say it better.
MAX_DEPTH = strict_json.MAX_DEPTH + 20

Place = tuple[str | int, ...]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first where PyYAML was built with libyaml
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


class Problem(NamedTuple):
    """Something that is wrong with a file. `line` counts from 1; None if it is of no single line."""

    line: int | None
    place: Place
    sentence: str


class InvalidFile(Exception):
    """A file that cannot be taken, with everything that is wrong with it."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__(problems)


@dataclass
class Document:
    """The value of a file, and the line of each part of it."""

    value: Any = None
    lines: dict[Place, int] = field(default_factory=dict)

    def problem(self, place: Place, sentence: object) -> Problem:
        """Return a problem with the line of the place, or of the nearest that is in the file."""
        known = next((place[:length] for length in range(len(place), -1, -1) if place[:length] in self.lines), ())
        return Problem(self.lines.get(known), place, str(sentence))


def load(raw: bytes) -> Document:
    """Read a UTF-8 file of at most MAX_BYTES. Raise InvalidFile with the first problem."""
    if len(raw) > MAX_BYTES:
        raise InvalidFile(Problem(None, (), _("larger than %(number)d bytes") % {"number": MAX_BYTES}))
    try:
        text = raw.decode("utf-8-sig")
        return _Builder().build(yaml.parse(text, Loader=_LOADER))
    except UnicodeDecodeError as error:
        raise InvalidFile(Problem(None, (), _("not UTF-8 at byte %(number)d") % {"number": error.start})) from error
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        raise InvalidFile(Problem(line, (), _("not YAML: %(problem)s") % {"problem": error.problem})) from error
    except yaml.YAMLError as error:  # a character that YAML forbids
        raise InvalidFile(Problem(None, (), _("not YAML: %(problem)s") % {"problem": error})) from error


@dataclass
class _Open:
    """A list or mapping that is being read, and in a mapping the key whose value comes next."""

    container: list[Any] | dict[str, Any]
    place: Place
    key: str | None = None


class _Builder:
    """The construction of a document from the events of the parser, without recursion."""

    def __init__(self) -> None:
        self._document = Document()
        self._open: list[_Open] = []
        self._number = 0  # of values
        self._line = 1

    def build(self, events: Iterator[Any]) -> Document:
        documents = 0
        for event in events:
            self._line = event.start_mark.line + 1
            if getattr(event, "anchor", None) is not None:  # also of aliases
                raise self._refusal(_("anchors and aliases are not taken; write the value out"))
            if getattr(event, "tag", None) is not None:
                raise self._refusal(_("tags are not taken"))
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refusal(_("a file is one document"))
            elif isinstance(event, yaml.ScalarEvent):
                self._read_scalar(event)
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self._begin([] if isinstance(event, yaml.SequenceStartEvent) else {})
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                self._open.pop()
        self._check_texts()
        return self._document

    def _refusal(self, sentence: str) -> InvalidFile:
        return InvalidFile(Problem(self._line, self._open[-1].place if self._open else (), sentence))

    def _read_scalar(self, event: Any) -> None:
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.container, dict) and top.key is None:
            self._read_key(top, event.value)
        else:
            self._add(self._resolve(event.value) if event.implicit[0] else event.value)

    def _read_key(self, top: _Open, key: str) -> None:
        if key in top.container:
            raise self._refusal(_("the key %(key)s occurs twice") % {"key": repr(key[:100])})
        top.key = key

    def _begin(self, container: list[Any] | dict[str, Any]) -> None:
        if len(self._open) == MAX_DEPTH:
            raise self._refusal(_("nested deeper than %(depth)d levels") % {"depth": MAX_DEPTH})
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.container, dict) and top.key is None:
            raise self._refusal(_("a key must be text"))
        self._open.append(_Open(container, self._add(container)))

    def _add(self, value: Any) -> Place:
        """Put a value where it belongs, and return its place."""
        self._number += 1
        if self._number > strict_json.MAX_VALUES:
            raise self._refusal(_("more than %(number)d values") % {"number": strict_json.MAX_VALUES})
        place: Place = ()
        if not self._open:
            self._document.value = value
        else:
            top = self._open[-1]
            if isinstance(top.container, list):
                place = (*top.place, len(top.container))
                top.container.append(value)
            else:
                assert top.key is not None
                place = (*top.place, top.key)
                top.container[top.key], top.key = value, None
        self._document.lines[place] = self._line
        return place

    def _resolve(self, text: str) -> Any:
        """Return the value of a text without quotes."""
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text):
            if len(text) <= 20 and strict_json.MIN_INTEGER <= (number := int(text)) <= strict_json.MAX_INTEGER:
                return number
        elif not _FLOAT.fullmatch(text):
            return text
        elif not math.isinf(real := float(text)):
            return real
        raise self._refusal(_("the number %(number)s does not fit in 64 bits") % {"number": text[:25]})

    def _check_texts(self) -> None:
        try:
            strict_json.check(self._document.value, MAX_DEPTH)
        except strict_json.NotAcceptable as error:
            raise InvalidFile(Problem(None, (), str(error))) from error
