"""The numbers of keys in the full run and in the short one."""

from __future__ import annotations

from dataclasses import dataclass

from bench.databases import Population


@dataclass(frozen=True)
class Sizes:
    """Populations by their purpose. A worker remembers fewer keys than `asked` has."""

    few: Population
    some: Population
    many: Population
    limited: Population
    asked: Population
    console: Population
    remembered: int
    # The keys that a worker has remembered when its memory is measured for the first time.
    remembered_before: int


KEYS = 10_000
FULL_SIZES = Sizes(
    few=Population("few", KEYS),
    some=Population("some", KEYS, copies=9),
    many=Population("many", KEYS, copies=99),
    limited=Population("limited", KEYS, limited=True),
    asked=Population("asked", 150_000),
    console=Population("console", 20_000, is_demo=True),
    remembered=100_000,
    remembered_before=1_000,
)
# The short run has a tenth of many keys, so that it need not seed for minutes.
QUICK_KEYS = 2_500
QUICK_SIZES = Sizes(
    few=Population("few", QUICK_KEYS),
    some=Population("some", QUICK_KEYS, copies=9),
    many=Population("many", QUICK_KEYS, copies=39),
    limited=Population("limited", QUICK_KEYS, limited=True),
    asked=Population("asked", 15_000, settings=(("MAIM_REMEMBERED_KEYS", "10000"),)),
    console=Population("console", 2_000, is_demo=True),
    remembered=10_000,
    remembered_before=1_000,
)
ON_SQLITE = Population("sqlite", 100, is_on_sqlite=True)
