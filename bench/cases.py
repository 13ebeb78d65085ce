"""The cases of speed and memory, with the ratios they must reach."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from apikeys import keyformat
from bench import config_cases, write_cases
from bench.databases import LIMITED, MILLION, MORE_THAN_REMEMBERED, TEN_THOUSAND
from bench.harness import VALID, Bench
from bench.load import Measurement, Wrong
from bench.mutations import Mutations
from bench.rounds import RSGI_JSON, Result
from bench.services import VALIDATE

PARSE = "/api/v2/auth/parse-api-key"
MALFORMED, PARSED = '"code":"AUTH_001"', '"format_valid":true'

# This share of cold keys must be looked up. A key may repeat where one run ends and another begins.
MISSES = 0.98
# Only the epoch poller queries MariaDB while junk is refused. Up to twice the idle rate is noise.
IDLE_TIMES = 2
IDLE_SECONDS = 2

REMEMBERED = 100_000
BEFORE_REMEMBERED = 1_000
# Uses are written within a second, and the memory for that is freed.
WRITTEN_SECONDS = 3
# 150,000 keys may take this many times the memory of the 100,000 in the cache. Without a bound it would be 1.5.
BOUND = 1.25


@dataclass(frozen=True)
class Case:
    """A case of speed, and the ratio that it must reach to what it is compared with."""

    title: str
    at_least: float
    run: Callable[[Bench], Result]


@dataclass(frozen=True)
class Memory:
    """Bytes of an internal worker, resident and its own: with few keys remembered, with all it may
    remember, and after half as many again."""

    before: tuple[int, int]
    full: tuple[int, int]
    after: tuple[int, int]

    @property
    def per_key(self) -> float:
        """Bytes of its own for each key."""
        return (self.full[1] - self.before[1]) / (REMEMBERED - BEFORE_REMEMBERED)

    @property
    def is_bounded(self) -> bool:
        return self.after[1] - self.before[1] <= (self.full[1] - self.before[1]) * BOUND


def warm(bench: Bench) -> Result:
    maim, load = bench.warm(TEN_THOUSAND)
    result = bench.compared(maim, load)
    bench.walk(maim, load)
    return result


def with_mutations(bench: Bench) -> Result:
    """Validate warm keys while some of them are disabled and enabled."""
    maim, load = bench.warm(TEN_THOUSAND)
    result = bench.compared(maim, load, going_on=lambda: Mutations(maim))
    bench.walk(maim, load)
    return result


def limited(bench: Bench) -> Result:
    maim, load = bench.warm(LIMITED)
    result = bench.compared(maim, load)
    bench.walk(maim, load)
    return result


def cold(bench: Bench) -> Result:
    """Validate more keys than the cache holds, in a circle: each is evicted before it comes again."""
    maim = bench.services.maim(MORE_THAN_REMEMBERED)
    load = bench.load(VALIDATE, maim.secrets, VALID, ordered=True)

    def check(measured: Measurement) -> None:
        if measured.secrets_read < measured.requests * MISSES:
            raise Wrong(f"of {measured.requests} cold keys only {measured.secrets_read} were looked up")

    return bench.compared(maim, load, check)


def junk(bench: Bench) -> Result:
    maim = bench.services.maim(TEN_THOUSAND)
    load = bench.load(VALIDATE, map(_mistyped, maim.secrets), MALFORMED)
    bench.walk(maim, load)
    before = bench.databases.statements()
    time.sleep(IDLE_SECONDS)
    idle = (bench.databases.statements() - before) / IDLE_SECONDS

    def check(measured: Measurement) -> None:
        if measured.statements > idle * measured.seconds * IDLE_TIMES:
            raise Wrong(f"{measured.requests} junk keys took {measured.statements} statements; idle: {idle} a second")

    return bench.compared(maim, load, check)


def parse(bench: Bench) -> Result:
    maim = bench.services.maim(TEN_THOUSAND)
    load = bench.load(PARSE, maim.secrets, PARSED)
    bench.walk(maim, load)
    return bench.compared(maim, load)


def million(bench: Bench) -> Result:
    """Validate the same number of keys in a table with a hundred times as many."""
    few, few_load = bench.warm(TEN_THOUSAND)
    many, many_load = bench.warm(MILLION)
    once = bench.rounds.once
    result = bench.rounds.against("10,000 keys", partial(once, few, few_load), partial(once, many, many_load))
    bench.walk(many, many_load)
    return result


def memory(bench: Bench) -> Memory:
    """Measure the memory of a worker while each key is validated once."""
    maim = bench.services.new_maim(MORE_THAN_REMEMBERED)
    load = bench.load(VALIDATE, maim.secrets, VALID)

    def after_asking(first: int, last: int) -> tuple[int, int]:
        load.walk(maim.base, first=first, last=last)
        time.sleep(WRITTEN_SECONDS)
        return maim.memory()

    return Memory(
        before=after_asking(0, BEFORE_REMEMBERED),
        full=after_asking(BEFORE_REMEMBERED, REMEMBERED),
        after=after_asking(REMEMBERED, len(maim.keys)),
    )


def ceilings(bench: Bench) -> Result:
    return bench.rounds.ceilings()


def _mistyped(key: str) -> str:
    """Return the key with one digit changed, so that its checksum is wrong."""
    payload = base64.b64decode(key.removeprefix(keyformat.PREFIX)).decode()
    at = payload.rindex("_") - 20
    other = "1" if payload[at] == "0" else "0"
    return keyformat.PREFIX + base64.b64encode((payload[:at] + other + payload[at + 1 :]).encode()).decode()


CASES = {
    "ceilings": Case(RSGI_JSON, 1.5, ceilings),
    "warm": Case("validate, warm", 1.1, warm),
    "mutations": Case("validate, warm, 5 key mutations a second", 0.7, with_mutations),
    "limited": Case("validate, keys with a rate limit", 0.2, limited),
    "cold": Case("validate, cold", 0.12, cold),
    "junk": Case("validate, junk of the new format", 1.1, junk),
    "parse": Case("parse", 1.1, parse),
    "million": Case("validate, warm, 1,000,000 keys in the table", 0.9, million),
    "agent": Case("agent, all sections set", 0.1, config_cases.agent),
    "effective": Case("effective config, all sections set", 0.25, config_cases.effective),
    "unchanged": Case("effective config, If-None-Match", 0.25, config_cases.unchanged),
    "heartbeat": Case("heartbeat", 0.2, write_cases.heartbeat),
    "usage": Case("usage log", 0.15, write_cases.usage),
    "create": Case("v2: create a key", 0.02, write_cases.create_key),
    "config": Case("v2: PUT a config", 0.01, write_cases.put_config),
    "agents": Case("v1's list of 20 agents", 0.05, config_cases.listed),
}
MEMORY, RESOLVE = "memory", "resolve"
# These take minutes, most of them for seeding. The short round leaves them out unless they are named.
LONG = {"cold", "million", MEMORY}
RESOLVE_AT_MOST_MS = 1.0
