"""Measuring in rounds: each measures a case between two measurements of its reference.

This reduces noise. On a busy machine the speed changes within seconds, for both sides of a ratio. A round is
repeated if the reference ran at different speeds before and after it. The result is the median of the ratios of
all steady rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median

from apikeys import keyformat
from bench.load import Load, Measurement, Request
from bench.references import PATH
from bench.services import Service, Services

Measure = Callable[[], Measurement]

DJANGO, WSGI, RSGI, RSGI_BODY, RSGI_JSON = "Django", "WSGI", "RSGI", "RSGI, body read", "RSGI, JSON in and out"
# The servers by their names in bench.references.
_SERVERS = {DJANGO: "django", RSGI_JSON: "rsgi_json", RSGI_BODY: "rsgi_body", RSGI: "rsgi", WSGI: "wsgi"}
REFERENCES = tuple(_SERVERS)
CEILINGS = (RSGI_BODY, RSGI, WSGI)

STEADY_WITHIN = 0.15


@dataclass(frozen=True)
class Plan:
    """The number of steady rounds, of more to get them, and the seconds of each measurement.

    A reference is not measured again within `fresh_seconds`. Unless `warm_up_always`, it is warmed up once.
    """

    rounds: int
    more_rounds: int
    case_seconds: int
    reference_seconds: int
    fresh_seconds: int
    warm_up_always: bool


FULL = Plan(rounds=3, more_rounds=2, case_seconds=4, reference_seconds=2, fresh_seconds=10, warm_up_always=True)
QUICK = Plan(rounds=1, more_rounds=0, case_seconds=1, reference_seconds=1, fresh_seconds=60, warm_up_always=False)


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
    def p99_ratio(self) -> float:
        """The case's p99 to that of what it is compared with."""
        return self.case.p99_ms / mean((self.before.p99_ms, self.after.p99_ms))

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

    @property
    def p99_ratio(self) -> float:
        return median(each.p99_ratio for each in self.good)

    def ratio_to(self, name: str) -> float:
        """Return the ratio to a reference, which is what it is compared with or was measured beside."""
        if name == self.other:
            return self.ratio
        return median(each.case.per_second / each.beside[name].per_second for each in self.good)

    def median(self, figure: Callable[[Measurement], float]) -> float:
        return median(figure(each.case) for each in self.good)


class Rounds:
    """The measuring of cases by a plan."""

    def __init__(self, services: Services, plan: Plan, directory: Path) -> None:
        self._services = services
        self._plan = plan
        self._loads = _loads(directory)
        self._latest: dict[str, tuple[float, Measurement]] = {}  # of references, with the time

    def once(self, service: Service, load: Load) -> Measurement:
        """Measure a case once, without a reference."""
        return self._services.measure(service, load, self._plan.case_seconds)

    def against_django(self, case: Measure) -> Result:
        """Compare a case with the bare Django view."""
        before = self._fresh(DJANGO) or self.reference(DJANGO)
        return self._against(DJANGO, before, partial(self.reference, DJANGO), case, [RSGI_JSON])

    def against(self, name: str, other: Measure, case: Measure) -> Result:
        """Compare a case with another one."""
        return self._against(name, other(), other, case, [DJANGO, RSGI_JSON])

    def ceilings(self) -> Result:
        """Compare the least that is to be done with the bare Django view."""
        case = partial(self.reference, RSGI_JSON)
        return self._against(DJANGO, self.reference(DJANGO), partial(self.reference, DJANGO), case, CEILINGS)

    def reference(self, name: str) -> Measurement:
        """Measure a reference."""
        server = self._services.reference(_SERVERS[name])
        warm_up = self._plan.warm_up_always or name not in self._latest
        measured = self._services.measure(server, self._loads[name], self._plan.reference_seconds, warm_up=warm_up)
        self._latest[name] = time.monotonic(), measured
        return measured

    def _against(self, name: str, before: Measurement, other: Measure, case: Measure, beside: Sequence[str]) -> Result:
        rounds: list[Round] = []
        while len(rounds) < self._plan.rounds + self._plan.more_rounds:
            measured = case()
            after = other()
            references = {each: self._fresh(each) or self.reference(each) for each in beside}
            rounds.append(Round(before, measured, after, references))
            before = after
            if sum(each.is_steady for each in rounds) == self._plan.rounds:
                break
        return Result(name, rounds)

    def _fresh(self, name: str) -> Measurement | None:
        """Return the latest measurement of a reference, if the machine is likely to be as it was then."""
        at, measured = self._latest.get(name, (float("-inf"), None))
        return measured if time.monotonic() - at < self._plan.fresh_seconds else None


def _loads(directory: Path) -> dict[str, Load]:
    """Return a load for each reference. Two of them read a body."""
    secret = keyformat.generate("tenant_0123456789ab", "agent_0123456789ab")
    posting = Load(directory / "reading.requests", [Request("POST", PATH, {"api_key": secret})])
    constant = Load(directory / "constant.requests", [Request("GET", PATH)])
    return {name: posting if name in (RSGI_BODY, RSGI_JSON) else constant for name in REFERENCES}
