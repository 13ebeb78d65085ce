"""Measuring in rounds: each measures a case between two measurements of its reference.

This reduces noise. On a busy machine the speed changes within seconds, for both sides of a ratio. A round is
repeated if the reference ran at different speeds before and after it. The result is the median of the ratios of
all steady rounds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median

from apikeys import keyformat
from bench.load import Load, Measurement
from bench.references import PATH
from bench.services import Service, Services

Measure = Callable[[], Measurement]

DJANGO, WSGI, RSGI, RSGI_BODY, RSGI_JSON = "Django", "WSGI", "RSGI", "RSGI, body read", "RSGI, JSON in and out"
# The servers by their names in bench.references.
_SERVERS = {DJANGO: "django", RSGI_JSON: "rsgi_json", RSGI_BODY: "rsgi_body", RSGI: "rsgi", WSGI: "wsgi"}
REFERENCES = tuple(_SERVERS)

STEADY_WITHIN = 0.15


@dataclass(frozen=True)
class Plan:
    """The number of steady rounds, of more to get them, and the seconds of each measurement."""

    rounds: int
    more_rounds: int
    case_seconds: int
    reference_seconds: int


FULL = Plan(rounds=3, more_rounds=2, case_seconds=4, reference_seconds=2)
QUICK = Plan(rounds=1, more_rounds=0, case_seconds=2, reference_seconds=1)


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
    def steady(self) -> list[Round]:
        return [each for each in self.rounds if each.is_steady]

    @property
    def good(self) -> list[Round]:
        """The rounds that count: the steady ones; all, if none is steady."""
        return self.steady or self.rounds

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

    def __init__(self, services: Services, plan: Plan, bodies: Path) -> None:
        self._services = services
        self._plan = plan
        bodies.write_text(json.dumps({"api_key": keyformat.generate("tenant_0123456789ab", "agent_0123456789ab")}))
        # Only these two read what is sent.
        self._loads = dict.fromkeys((RSGI_BODY, RSGI_JSON), Load(PATH, bodies))
        self._constant = Load(PATH)

    def once(self, service: Service, load: Load) -> Measurement:
        """Measure a case once, without a reference."""
        return self._services.measure(service, load, self._plan.case_seconds)

    def against_django(self, case: Measure) -> Result:
        """Compare a case with the bare Django view."""
        return self._against(DJANGO, self._reference(DJANGO), case, [RSGI_JSON])

    def against(self, name: str, other: Measure, case: Measure) -> Result:
        """Compare a case with another one."""
        return self._against(name, other, case, [DJANGO, RSGI_JSON])

    def ceilings(self) -> Result:
        """Compare what the server can do at most with the bare Django view."""
        return self._against(DJANGO, self._reference(DJANGO), self._reference(RSGI_JSON), [RSGI_BODY, RSGI, WSGI])

    def _against(self, name: str, other: Measure, case: Measure, beside: Sequence[str]) -> Result:
        rounds: list[Round] = []
        before = other()
        while len(rounds) < self._plan.rounds + self._plan.more_rounds:
            measured = case()
            after = other()
            rounds.append(Round(before, measured, after, {name: self._reference(name)() for name in beside}))
            before = after
            if sum(each.is_steady for each in rounds) == self._plan.rounds:
                break
        return Result(name, rounds)

    def _reference(self, name: str) -> Measure:
        server = self._services.reference(_SERVERS[name])
        load = self._loads.get(name, self._constant)
        return partial(self._services.measure, server, load, self._plan.reference_seconds)
