"""Sets of ids as ranges, in memory and as text: `1-5,7,9-12`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

Range = tuple[int, int]  # both ends included


def to_ranges(ids: Iterable[int]) -> list[Range]:
    """Return ascending ids as ranges."""
    ranges: list[Range] = []
    for each in ids:
        if ranges and each == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], each
        else:
            ranges.append((each, each))
    return ranges


def to_text(ids: Iterable[int]) -> str:
    """Return ascending ids as text."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in to_ranges(ids))


def parse_ranges(text: str) -> list[Range]:
    """Return the ranges of a text. Raise ValueError if it is malformed."""
    parts = [part.partition("-") for part in filter(None, text.split(","))]
    return [(int(first), int(last or first)) for first, _, last in parts]


def parse(text: str, *, at_most: int) -> list[int]:
    """Return the ids of a text. Raise ValueError if it is malformed, or has more ids than may be."""
    ranges = parse_ranges(text)
    if sum(last - first + 1 for first, last in ranges) > at_most:
        raise ValueError("more ids than there may be")
    return [each for first, last in ranges for each in range(first, last + 1)]


def between(after: int, ids: Sequence[int]) -> list[Range]:
    """Return the ranges that are missing between ascending ids, the first of which follows `after`."""
    found = []
    for each in ids:
        if each > after + 1:
            found.append((after + 1, each - 1))
        after = each
    return found


def without(ranges: Sequence[Range], ids: Iterable[int]) -> list[Range]:
    """Return ascending ranges without some ids."""
    left = list(ranges)
    for each in ids:
        place = bisect_left(left, (each + 1,)) - 1
        if place >= 0 and each <= left[place][1]:
            left[place : place + 1] = _split(left[place], each)
    return left


def above(ranges: Iterable[Range], floor: int) -> list[Range]:
    """Return the parts of ranges that are above a floor."""
    return [(max(first, floor + 1), last) for first, last in ranges if last > floor]


def _split(whole: Range, removed: int) -> Iterator[Range]:
    first, last = whole
    if first < removed:
        yield first, removed - 1
    if removed < last:
        yield removed + 1, last
