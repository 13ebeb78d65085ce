"""Which regexes a config may hold: those that no message can keep a bot busy with.

Python's `re` tries one way after another of matching a text. A regex is accepted if the number of ways is
bounded, which is read from its parse tree without running it:

* A choice (go on with a repeat or leave it, this branch or that) is *settled* if the next character decides
  it: what may begin the one has no character in common with what may begin the other.
* What a large repeat repeats must hold settled choices only. Otherwise each turn multiplies the ways, and
  their number grows exponentially with the text: `(a+)+`, `(a|aa)*`.
* Elsewhere the ways of the choices that are not settled are multiplied: MANY for leaving a large repeat, the
  number of turns for a small one, the number of branches; and MANY more if a search tries the regex at every place
  of the text, or if each way may run through the text once more. The product is at most MAX_WAYS: as much work as
  the cube of the text's length, which for 1,000 characters is a second or two.

All of it errs on the side of refusing.
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
    """Why a regex is refused: a message to translate, and what to put into it."""

    message: str
    parameter: str | int = ""


@lru_cache(maxsize=1024)
def problem(regex: str) -> Problem | None:
    """Why a config may not hold this regex; None if it may."""
    if len(regex) > MAX_LENGTH:
        return Problem(_("a regular expression may have at most %(parameter)s characters"), MAX_LENGTH)
    try:
        _check_work(read(regex, max_ranges=MAX_RANGES))
    except (re.error, OverflowError) as error:
        return Problem(_("is not a regular expression: %(parameter)s"), str(error))
    except RecursionError:
        return Problem(_("its groups are nested too deep"))
    except TooWide:
        return Problem(_("its ranges may hold at most %(parameter)s characters together"), MAX_RANGES)
    except _Refused as refused:
        return refused.problem
    return None


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
    """Return the parts that come after each other, those of groups too."""
    return [each for within in part.within for each in _flat(within)] if isinstance(part, Sequence) else [part]


def _runs_again(parts: list[Part], *, is_searched: bool) -> bool:
    """Return whether a large repeat may run through the text again for each way in which what is before it matched.

    It does not where it begins only after a character that it cannot run over. What is last in the regex does not
    fail, so that it is tried once.
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
    """Return whether no character that a part is made of can come just before it."""
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
    """In how many ways the part can match a text after which a character of `follow` comes.

    `turns` is how often it may be repeated by what it is within.
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
