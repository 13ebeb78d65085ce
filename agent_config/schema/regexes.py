"""The regexes that a config may hold, because no message can make them run for long.

Python's `re` tries one way after another of matching a text. A regex is accepted if its parse tree shows that the
number of ways is bounded:

* A choice (between another turn of a repeat and what follows it, or between branches) is *settled* if the next
  character decides it, because the alternatives cannot begin with the same character.
* A large repeat may contain settled choices only. Otherwise each turn multiplies the ways, and their number grows
  exponentially with the text: `(a+)+`, `(a|aa)*`.
* Elsewhere the ways of all choices that are not settled are multiplied: MANY for a large repeat, the number of turns
  for a small one, the number of branches. The product is multiplied by MANY again if a search tries the regex at every
  position of the text, and if each way may run through the text once more. It may be at most MAX_WAYS, which means as
  much work as the cube of the text's length: a second or two for 1,000 characters.

In doubt a regex is refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from django.utils.translation import gettext_noop as _

from agent_config.schema import charsets
from agent_config.schema.regex_parts import (
    UNLIMITED,
    Beginning,
    Choice,
    Look,
    Part,
    Reference,
    Repeat,
    Sequence,
    TooWide,
    read,
)

MAX_LENGTH = 500  # characters of one regex
MAX_REGEXES = 500  # of a config
MAX_TOTAL_LENGTH = 10_000  # characters of all of them
MAX_RANGES = 200_000  # characters in the ranges of one regex, each of which costs `re.compile` time
MAX_SMALL = 20  # turns; a repeat of more is a large one
MAX_TURNS = 10_000  # of counted repeats in each other
MANY = 100
MAX_WAYS = 1_000_000


class Problem(NamedTuple):
    """The reason why a regex is refused: a message to translate, and its parameter."""

    message: str
    parameter: str | int = ""


@lru_cache(maxsize=1024)
def problem(regex: str) -> Problem | None:
    """Return the reason why a config may not hold this regex, or None if it may."""
    if len(regex) > MAX_LENGTH:
        return Problem(_("a regular expression may have at most %(parameter)s characters"), MAX_LENGTH)
    try:
        _check_work(read(regex, max_ranges=MAX_RANGES))
    except (re.error, OverflowError) as error:
        return _syntax_problem(error)
    except RecursionError:
        return Problem(_("its groups are nested too deep"))
    except TooWide:
        return Problem(_("its ranges may hold at most %(parameter)s characters together"), MAX_RANGES)
    except _Refused as refused:
        return refused.problem
    return None


# What people mistype, by what Python says of it, which is in English.
_SYNTAX = {
    "missing ), unterminated subpattern": _(
        "is not a regular expression: the parenthesis at character %(parameter)s is not closed"
    ),
    "unbalanced parenthesis": _(
        "is not a regular expression: the parenthesis at character %(parameter)s was not opened"
    ),
    "unterminated character set": _(
        "is not a regular expression: the bracket at character %(parameter)s is not closed"
    ),
    "nothing to repeat": _("is not a regular expression: there is nothing to repeat at character %(parameter)s"),
    "multiple repeat": _("is not a regular expression: character %(parameter)s repeats what is repeated already"),
}
_OTHER_SYNTAX = _("is not a regular expression: there is an error at character %(parameter)s")


def _syntax_problem(error: re.error | OverflowError) -> Problem:
    if isinstance(error, OverflowError):
        return Problem(_("is not a regular expression: it repeats too often"))
    return Problem(_SYNTAX.get(error.msg, _OTHER_SYNTAX), (error.pos or 0) + 1)


class _Refused(Exception):
    def __init__(self, message: str, parameter: str | int = "") -> None:
        super().__init__(message)
        self.problem = Problem(message, parameter)


def _check_work(regex: Part) -> None:
    """Raise _Refused if a search for the regex may take too long."""
    work = _ways(regex, charsets.END)
    is_searched = not _is_anchored(regex)
    if is_searched:
        work *= MANY
    if _runs_again(_flat(regex), is_searched=is_searched):
        work *= MANY
    if work > MAX_WAYS:
        raise _too_many_ways()


def _is_anchored(part: Part) -> bool:
    if isinstance(part, Choice):
        return all(_is_anchored(branch) for branch in part.within)
    if isinstance(part, Sequence):
        begin = next((each for each in part.within if not isinstance(each, Look)), None)
        return begin is not None and _is_anchored(begin)
    return isinstance(part, Beginning)


def _flat(part: Part) -> list[Part]:
    """Return the parts of nested sequences in one list."""
    return [each for within in part.within for each in _flat(within)] if isinstance(part, Sequence) else [part]


def _runs_again(parts: list[Part], *, is_searched: bool) -> bool:
    """Return whether a large repeat may run through the text again for each way in which the parts before it match.

    It does not if it can only begin after a character that it cannot match itself. The last part of the regex is tried
    once, because nothing after it can fail.
    """
    follow, is_run, is_open = charsets.END, False, False
    runs = [not isinstance(part, Look) and part.holds(_is_large_repeat) for part in parts]
    for number in reversed(range(len(parts))):
        part = parts[number]
        is_settled = isinstance(part, Repeat) and _is_settled(part, follow)
        if runs[number] and not is_settled:
            if is_run:
                return True
            is_open = True
        if runs[number] and (is_settled or not isinstance(part, Repeat)):
            is_run = is_run or (number < len(parts) - 1 and not _begins_apart(parts[:number], part))
        follow = part.begins(follow)
    return is_searched and not is_open and any(runs[:-1])


def _begins_apart(before: list[Part], part: Part) -> bool:
    """Return whether no character that a part can match may come just before it."""
    for each in reversed(before):
        if each.last & part.characters:
            return False
        if not each.can_be_empty:
            return True
    return True


def _is_settled(repeat: Repeat, follow: int) -> bool:
    """Return whether the next character decides if there is another turn."""
    # A turn of nothing is as good as none, whatever comes next.
    return repeat.low == repeat.high or not (repeat.body.can_be_empty or repeat.body.first & follow)


def _too_many_ways() -> _Refused:
    return _Refused(_("it can match the same text in too many ways, which can take very long"))


def _ways(part: Part, follow: int, turns: int = 1) -> int:
    """Return the number of ways in which a part can match a text that is followed by a character of `follow`.

    `turns` is the number of times that the repeats around it may repeat it.
    """
    match part:
        case Sequence():
            ways = _ways_of_sequence(part, follow, turns)
        case Choice():
            ways = _ways_of_choice(part, follow, turns)
        case Repeat():
            ways = _ways_of_repeat(part, follow, turns)
        case Look():
            ways = _ways(part.body, charsets.END, turns) * (MANY if part.holds(_is_large_repeat) else 1)
        case _:
            ways = 1
    if ways > MAX_WAYS:
        raise _too_many_ways()
    return ways


def _ways_of_sequence(sequence: Sequence, follow: int, turns: int) -> int:
    ways, of_looks = 1, 1
    for part in reversed(sequence.within):
        if isinstance(part, Look):
            of_looks = max(of_looks, _ways(part, follow, turns))
        else:
            ways *= _ways(part, follow, turns)
            follow = part.begins(follow)
    return ways * of_looks


def _ways_of_choice(choice: Choice, follow: int, turns: int) -> int:
    ways = [_ways(branch, follow, turns) for branch in choice.within]
    seen, is_settled = 0, True
    for branch in choice.within:
        begins = branch.begins(follow)
        is_settled = is_settled and not seen & begins
        seen |= begins
    return max(ways) if is_settled else sum(ways)


def _ways_of_repeat(repeat: Repeat, follow: int, turns: int) -> int:
    body = repeat.body
    if repeat.high > 1:
        if body.holds(_is_reference):
            raise _Refused(_("it repeats a reference to a group, which can take for ever"))
        turns *= 1 if repeat.high == UNLIMITED else repeat.high
        if turns > MAX_TURNS:
            raise _Refused(_("its repeats may come to at most %(parameter)s turns"), MAX_TURNS)
    of_body = _ways(body, body.first | follow if repeat.high > 1 else follow, turns)
    is_settled = _is_settled(repeat, follow)
    if not _is_large_repeat(repeat):
        of_turns: int = of_body**repeat.high
        return of_turns * (1 if is_settled else repeat.high - repeat.low + 1)
    if of_body > 1:
        raise _Refused(_("it repeats what can match the same text in several ways, which can take for ever"))
    return 1 if is_settled else MANY


def _is_large_repeat(part: Part) -> bool:
    return isinstance(part, Repeat) and part.high > MAX_SMALL


def _is_reference(part: Part) -> bool:
    return isinstance(part, Reference)
