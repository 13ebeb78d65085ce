"""Measuring in rounds: each measures a case between two measurements of its reference.

This reduces noise. On a busy machine the speed changes within seconds, for both sides of a ratio. A round is
repeated if the reference ran at different speeds before and after it. The result is the median of the ratios of
all steady rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean, median

from bench.load import Load, Measurement
from bench.references import PATH
from bench.services import Service, Services

Measure = Callable[[], Measurement]

DJANGO, WSGI = "Django", "WSGI"

STEADY_WITHIN = 0.15
MORE_ROUNDS = 2


@dataclass(frozen=True)
class Plan:
    """The number of rounds, and the seconds of each measurement."""

    rounds: int
    case_seconds: int
    reference_seconds: int


FULL = Plan(rounds=3, case_seconds=4, reference_seconds=2)
QUICK = Plan(rounds=1, case_seconds=2, reference_seconds=1)


@dataclass(frozen=True)
class Round:
    """The measurements of a case, of its reference before and after it, and of others."""

    before: Measurement
    case: Measurement
    after: Measurement
    beside: Mapping[str, Measurement]

    @property
    def ratio(self) -> float:
        return self.case.per_second / mean((self.before.per_second, self.after.per_second))

    @property
    def is_steady(self) -> bool:
        """True if the reference was as fast after the case as before it."""
        slower, faster = sorted((self.before.per_second, self.after.per_second))
        return slower >= faster * (1 - STEADY_WITHIN)


@dataclass(frozen=True)
class Result:
    """All rounds of a case, and the name of its reference."""

    other: str
    rounds: list[Round]

    @property
    def good(self) -> list[Round]:
        """The steady rounds; all, if none is steady."""
        return [each for each in self.rounds if each.is_steady] or self.rounds

    @property
    def ratio(self) -> float:
        return median(each.ratio for each in self.good)

    def ratio_to(self, name: str) -> float:
        """Return the ratio to another measurement of the rounds."""
        return median(each.case.per_second / each.beside[name].per_second for each in self.good)

    def median(self, figure: Callable[[Measurement], float]) -> float:
        return median(figure(each.case) for each in self.good)


class Rounds:
    """The measuring of cases by a plan."""

    def __init__(self, services: Services, plan: Plan) -> None:
        self._services = services
        self._plan = plan
        self._constant = Load(PATH)

    def once(self, service: Service, load: Load) -> Measurement:
        """Measure a case once, without a reference."""
        return self._services.measure(service, load, self._plan.case_seconds)

    def against_django(self, case: Measure) -> Result:
        """Compare a case with the bare Django view."""
        return self._against(DJANGO, self._django, case, {WSGI: self._wsgi})

    def against(self, name: str, other: Measure, case: Measure) -> Result:
        """Compare a case with another one."""
        return self._against(name, other, case, {DJANGO: self._django, WSGI: self._wsgi})

    def _against(self, name: str, other: Measure, case: Measure, beside: Mapping[str, Measure]) -> Result:
        rounds: list[Round] = []
        before = other()
        while len(rounds) < self._plan.rounds + MORE_ROUNDS:
            measured = case()
            after = other()
            rounds.append(Round(before, measured, after, {name: measure() for name, measure in beside.items()}))
            before = after
            if sum(each.is_steady for each in rounds) == self._plan.rounds:
                break
        return Result(name, rounds)

    def _django(self) -> Measurement:
        return self._services.measure(self._services.django, self._constant, self._plan.reference_seconds)

    def _wsgi(self) -> Measurement:
        return self._services.measure(self._services.wsgi, self._constant, self._plan.reference_seconds)
