"""The figures that these cases had before they were worked on, and those that were wanted.

A wanted rate counts as its ratio to the bare Django view, which did 7,800 requests/s when the rates were set: a machine
that is slower, or busy, must not change the judgement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DJANGO_PER_SECOND = 7_800


@dataclass(frozen=True)
class Target:
    """Figures of a case before and as wanted; `at_least` and `at_most` name those of results.json."""

    before: str
    wanted: str
    per_second: float = 0
    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)

    def is_met(self, case: dict[str, Any]) -> bool:
        """Return whether a measured case is as good as wanted."""
        return (
            case["to_django"] >= self.per_second / DJANGO_PER_SECOND
            and all(case[name] >= value for name, value in self.at_least.items())
            and all(case[name] <= value for name, value in self.at_most.items())
            and (case["bound"] is None or case["is_good"])
        )


TARGETS = {
    "warm": Target(
        "10,200/s, 114 µs, p99 10 × p50",
        "≤ 70 µs, ≥ 0.6 × RSGI with JSON, p99 ≤ 4 × p50",
        at_least={"to_rsgi_json": 0.6},
        at_most={"cpu_us": 70, "p99_to_p50": 4},
    ),
    "many": Target("as fast as with few", "≥ 0.9 × the same with 10,000", at_least={"ratio": 0.9}),
    "disable": Target("23–30/s, and 503 beyond", "≥ 300/s, no 503", 300),
    "create": Target("75–143/s", "≥ 350/s, ≤ 2 ms CPU", 350, at_most={"cpu_us": 2_000}),
    "heartbeat": Target("100/s", "≥ 3,000/s", 3_000),
    "usage": Target("200–456/s", "≥ 2,000/s", 2_000),
    "config": Target("46–117/s", "≥ 300/s", 300),
    "health": Target("760–1,030/s", "≥ 8,000/s", 8_000),
    "person_agent": Target("215–247/s", "≥ 600/s", 600),
    "me": Target("215–247/s", "≥ 600/s", 600),
    "agents": Target("280–380/s", "≥ 600/s", 600),
    "sign_in": Target("reads' p99 × 1.6", "never × 3"),
    "sqlite": Target("p99 800–1,800 ms", "p99 ≤ 150 ms"),
}
