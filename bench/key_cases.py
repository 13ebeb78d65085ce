"""Cases of verification."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from functools import partial

from apikeys import keyformat
from bench.databases import Population
from bench.harness import VALID, Bench
from bench.load import Measurement, Wrong
from bench.mutations import Mutations
from bench.rounds import Result
from bench.services import VALIDATE

PARSE = "/api/v2/auth/parse-api-key"
MALFORMED, PARSED = '"code":"AUTH_001"', '"format_valid":true'

# This share of cold keys must be looked up. A key may repeat where one run ends and another begins.
MISSES = 0.98
# Only the epoch poller queries MariaDB while junk is refused. Up to twice the idle rate is noise.
IDLE_TIMES = 2
IDLE_SECONDS = 2

# Uses are written within a second, and the memory for that is freed.
WRITTEN_SECONDS = 2
# Half as many keys again may take this many times the memory of those in the cache. Without a bound it would be 1.5.
BOUND = 1.25
# Or as much more as other things take, such as the uses that are being written.
SLACK = 4 * 2**20


@dataclass(frozen=True)
class Memory:
    """Bytes of an internal worker, resident and its own: with few keys remembered, with all it may
    remember, and after half as many again."""

    before: tuple[int, int]
    full: tuple[int, int]
    after: tuple[int, int]
    keys_before: int
    keys_full: int
    keys_after: int

    @property
    def per_key(self) -> float:
        """Bytes of its own for each key."""
        return (self.full[1] - self.before[1]) / (self.keys_full - self.keys_before)

    @property
    def is_bounded(self) -> bool:
        return self.after[1] - self.before[1] <= (self.full[1] - self.before[1]) * BOUND + SLACK


def warm(bench: Bench) -> Result:
    maim, load = bench.warm(bench.sizes.few)
    result = bench.compared(maim, load)
    bench.walk(maim, load)
    return result


def with_mutations(bench: Bench) -> Result:
    """Validate warm keys while some of them are disabled and enabled."""
    maim, load = bench.warm(bench.sizes.few)
    result = bench.compared(maim, load, going_on=lambda: Mutations(maim))
    bench.walk(maim, load)
    return result


def limited(bench: Bench) -> Result:
    maim, load = bench.warm(bench.sizes.limited)
    result = bench.compared(maim, load)
    bench.walk(maim, load)
    return result


def cold(bench: Bench) -> Result:
    """Validate more keys than the cache holds, in a circle: each is evicted before it comes again."""
    maim = bench.services.maim(bench.sizes.asked)
    load = bench.asking(VALIDATE, maim.secrets, VALID, ordered=True)

    def check(measured: Measurement) -> None:
        if measured.secrets_read < measured.requests * MISSES:
            raise Wrong(f"of {measured.requests} cold keys only {measured.secrets_read} were looked up")

    return bench.compared(maim, load, check=check)


def junk(bench: Bench) -> Result:
    maim = bench.services.maim(bench.sizes.few)
    load = bench.asking(VALIDATE, map(_mistyped, maim.secrets), MALFORMED)
    bench.walk(maim, load)
    before = bench.databases.statements()
    time.sleep(IDLE_SECONDS)
    idle = (bench.databases.statements() - before) / IDLE_SECONDS

    def check(measured: Measurement) -> None:
        if measured.statements > idle * measured.seconds * IDLE_TIMES:
            raise Wrong(f"{measured.requests} junk keys took {measured.statements} statements; idle: {idle} a second")

    return bench.compared(maim, load, check=check)


def parse(bench: Bench) -> Result:
    maim = bench.services.maim(bench.sizes.few)
    load = bench.asking(PARSE, maim.secrets, PARSED)
    bench.walk(maim, load)
    return bench.compared(maim, load)


def in_larger_table(population: Population, bench: Bench) -> Result:
    """Validate the same number of keys in a table with many more."""
    few, few_load = bench.warm(bench.sizes.few)
    many, many_load = bench.warm(population)
    once, fewer = bench.rounds.once, f"{bench.sizes.few.all_keys:,} keys"
    result = bench.rounds.against(fewer, partial(once, few, few_load), partial(once, many, many_load))
    bench.walk(many, many_load)
    return result


def memory(bench: Bench) -> Memory:
    """Measure the memory of a worker while each key is validated once."""
    sizes = bench.sizes
    maim = bench.services.new_maim(sizes.asked)
    load = bench.asking(VALIDATE, maim.secrets, VALID)

    def after_asking(first: int, last: int) -> tuple[int, int]:
        load.walk(maim.base, first=first, last=last)
        time.sleep(WRITTEN_SECONDS)
        return maim.memory()

    return Memory(
        before=after_asking(0, sizes.remembered_before),
        full=after_asking(sizes.remembered_before, sizes.remembered),
        after=after_asking(sizes.remembered, sizes.asked.keys),
        keys_before=sizes.remembered_before,
        keys_full=sizes.remembered,
        keys_after=sizes.asked.keys,
    )


def _mistyped(key: str) -> str:
    """Return the key with one digit changed, so that its checksum is wrong."""
    payload = base64.b64decode(key.removeprefix(keyformat.PREFIX)).decode()
    at = payload.rindex("_") - 20
    other = "1" if payload[at] == "0" else "0"
    return keyformat.PREFIX + base64.b64encode((payload[:at] + other + payload[at + 1 :]).encode()).decode()
