"""All cases of speed, with the ratios that they must reach and why some have another bound."""

from __future__ import annotations

from functools import partial

from bench import config_cases, console_cases, key_cases, people_cases, write_cases
from bench.case import Bound, Case
from bench.harness import Bench
from bench.rounds import RSGI_JSON, Result
from bench.sizes import Sizes

MEMORY, RESOLVE = "memory", "resolve"
RESOLVE_AT_MOST_MS = 1.0

# Signing in hashes passwords, which takes all of a core; others must still be served.
BESIDE_SIGN_INS = Bound("p99 × that of the reads alone", 3, lambda result: result.p99_ratio)
# Writers that wait for SQLite's lock in its own way starve one another for seconds.
IN_TURN = Bound("p99 ms", 150, lambda result: result.median(lambda measured: measured.p99_ms))


def ceilings(bench: Bench) -> Result:
    return bench.rounds.ceilings()


def cases(sizes: Sizes) -> dict[str, Case]:
    """Return all cases by name."""

    def larger(name: str) -> Case:
        population = getattr(sizes, name)
        title = f"validate, warm, {population.all_keys:,} keys in the table"
        return Case(title, 0.9, partial(key_cases.in_larger_table, population))

    return {
        "ceilings": Case(RSGI_JSON, 1.5, ceilings),
        "warm": Case("validate, warm", 0.9, key_cases.warm),
        "mutations": Case("validate, warm, 5 key mutations a second", 0.7, key_cases.with_mutations),
        "limited": Case("validate, keys with a rate limit", 0.2, key_cases.limited),
        "cold": Case("validate, cold", 0.12, key_cases.cold),
        "junk": Case("validate, junk of the new format", 0.9, key_cases.junk),
        "parse": Case("parse", 0.9, key_cases.parse),
        "some": larger("some"),
        "many": larger("many"),
        "health": Case("internal /health", 0.5, config_cases.health),
        "agent": Case("agent, all sections set", 0.1, config_cases.agent),
        "effective": Case("effective config, all sections set", 0.25, config_cases.effective),
        "unchanged": Case("effective config, If-None-Match", 0.25, config_cases.unchanged),
        "heartbeat": Case("heartbeat", 0.2, write_cases.heartbeat),
        "usage": Case("usage log", 0.15, write_cases.usage),
        "create": Case("v2: create a key", 0.012, write_cases.create_key),
        "audited": Case("v2: create a key, beside the auditor", 0.85, write_cases.create_beside_auditor),
        "config": Case("v2: PUT a config", 0.01, write_cases.put_config),
        "disable": Case("v2: disable or enable a key, 64 clients", 0.006, write_cases.disable),
        "bulk": Case("v2: disable or enable 100 keys at once", 0.001, write_cases.disable_many),
        "sqlite": Case("v2 on SQLite: create a key, 16 writers", 0.01, write_cases.create_on_sqlite, IN_TURN),
        "agents": Case("v1's list of 20 agents", 0.03, people_cases.listed),
        "person_agent": Case("v1: an agent", 0.03, people_cases.agent),
        "me": Case("v1: /auth/me", 0.03, people_cases.profile),
        "sign_in": Case("v1: an agent, beside 10 sign-ins", 0.05, people_cases.beside_sign_ins, BESIDE_SIGN_INS),
        "dashboard": Case("admin: dashboard", 0.1, console_cases.dashboard),
        "console_keys": Case("admin: list of keys", 0.05, console_cases.keys),
        "console_search": Case("admin: search of keys", 0.05, console_cases.search),
        "console_key": Case("admin: a key", 0.1, console_cases.key),
        "console_agent": Case("admin: an agent", 0.1, console_cases.agent),
        "console_tenant": Case("admin: a tenant", 0.05, console_cases.tenant),
    }
