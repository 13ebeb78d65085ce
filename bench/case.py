"""A case of speed, and when its result is good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from bench.harness import Bench
from bench.rounds import Result


class Bound(NamedTuple):
    """An upper bound for a figure of a result."""

    figure: str
    at_most: float
    of: Callable[[Result], float]

    def __str__(self) -> str:
        return f"{self.figure} ≤ {self.at_most:g}"


@dataclass(frozen=True)
class Case:
    """A case of speed, the ratio that it must reach to what it is compared with, and perhaps a bound."""

    title: str
    at_least: float
    run: Callable[[Bench], Result]
    bound: Bound | None = None

    def is_good(self, result: Result) -> bool:
        is_bounded = self.bound is None or self.bound.of(result) <= self.bound.at_most
        return result.ratio >= self.at_least and is_bounded
