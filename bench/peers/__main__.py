"""`make bench-peers`: maim and other ways to verify API keys, measured in turns."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from bench import page, tables
from bench.databases import ROOT, Databases
from bench.harness import Bench
from bench.load import TIMEOUT_SECONDS, Load, Measurement, Request
from bench.machine import prepare
from bench.page import PEER_RESULTS
from bench.peers.contestants import CONTESTANTS, MAIM, PAIR, PYTHON, Contestant, Peer, seed
from bench.peers.revocation import revoke
from bench.people_cases import LISTED, reading, signed_in
from bench.report import about, medians, write
from bench.rounds import DJANGO, FULL, QUICK, Plan, Rounds
from bench.services import Maim, Services
from bench.sizes import FULL_SIZES

OF_A_SHORT_RUN = ROOT / "var" / "bench-peers.json"
REVOCATIONS, QUICK_REVOCATIONS = 50, 5
LISTING = f"/agents?limit={LISTED}"

Servers = dict[str, Maim | Peer]
Measure = Callable[[], Measurement]


def main() -> int:
    """Return 0 if everything was measured, else 2."""
    parser = argparse.ArgumentParser(prog='make bench-peers ARGS="…"', description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    is_quick = parser.parse_args().quick
    if not prepare():
        return 2
    document = _measure(QUICK, QUICK_REVOCATIONS) if is_quick else _measure(FULL, REVOCATIONS)
    write(document, OF_A_SHORT_RUN if is_quick else PEER_RESULTS)
    print(tables.plain(tables.peer_rows(document)))
    if not is_quick:
        page.write()
    return 0


def _measure(plan: Plan, revocations: int) -> dict[str, Any]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maim-bench-")))
        directory.chmod(0o755)  # mariadbd runs as another user
        databases = stack.enter_context(Databases(directory))
        services = Services(directory, databases, stack)
        bench = Bench(directory, databases, services, Rounds(services, plan, directory), FULL_SIZES)
        servers = _start_all(bench, directory)
        verifying = {name: _verifying(bench, name, server) for name, server in servers.items()}
        listing = {
            name: bench.measuring(server, _listing(bench, name, server))
            for name, server in servers.items()
            if name in (MAIM, PAIR)
        }
        measured = _in_turns(plan, {**verifying, DJANGO: partial(bench.rounds.reference, DJANGO)})
        listed = _in_turns(plan, listing)
        contestants = {}
        for name, server in servers.items():
            services.run_only(server)
            contestants[name] = {
                "title": CONTESTANTS[name].title,
                **measured[name],
                **_revocation(server, CONTESTANTS[name], revocations),
                "listing": listed.get(name),
            }
        return {
            **about(databases.mariadb_version()),
            "contestants": contestants,
            "references": {DJANGO: measured[DJANGO]},
        }


def _start_all(bench: Bench, directory: Path) -> Servers:
    """Seed and start every contestant, each on a database of its own."""
    servers: Servers = {MAIM: bench.services.maim(bench.sizes.few)}
    for name in CONTESTANTS:
        if name != MAIM:
            print(f"seeding {name}", flush=True)
            environment = {**os.environ, **bench.databases.empty(name)}
            keys = seed(name, directory / name, bench.sizes.few.keys, environment)
            servers[name] = bench.services.begin(partial(Peer, name, keys, environment))
    return servers


def _verifying(bench: Bench, name: str, server: Maim | Peer) -> Measure:
    load = bench.load(map(CONTESTANTS[name].verify, server.keys))
    return bench.measuring(server, load)


def _listing(bench: Bench, name: str, server: Maim | Peer) -> Load:
    """Return a load of v1's list of twenty agents."""
    if name == MAIM:
        maim, headers, _ids = signed_in(bench)
        return reading(bench, maim, headers, LISTING)
    bench.services.run_only(server)
    with httpx.Client(base_url=server.base, timeout=TIMEOUT_SECONDS) as client:
        token = client.get(f"/token/{server.keys[0].id}").raise_for_status().json()["access_token"]
    return bench.load([Request("GET", f"/api/v1{LISTING}", headers={"Authorization": f"Bearer {token}"})])


def _in_turns(plan: Plan, contestants: dict[str, Measure]) -> dict[str, dict[str, float]]:
    """Measure all in each round, so that a busy machine slows all of them, and return the medians."""
    measured: dict[str, list[Measurement]] = {name: [] for name in contestants}
    for number in range(1, plan.rounds + 1):
        for name, measure in contestants.items():
            measured[name].append(measure())
        print(f"round {number} of {plan.rounds} is measured", flush=True)
    return {name: medians(several) for name, several in measured.items()}


def _revocation(server: Maim | Peer, contestant: Contestant, number: int) -> dict[str, float]:
    # The last keys, because the first is asked for to tell whether the server is well.
    refusals = [revoke(server.base, contestant, key) for key in server.keys[-number:]]
    to_refusal = [each.to_refusal * 1e3 for each in refusals]
    return {
        "revocations": number,
        "refused_after_ms": round(median(to_refusal), 1),
        "refused_after_ms_at_most": round(max(to_refusal), 1),
        "answered_after_ms": round(median(each.to_answer * 1e3 for each in refusals), 1),
        "accepted_after_answer": sum(each.accepted_after for each in refusals),
    }


if __name__ == "__main__":
    if not PYTHON.exists():
        sys.exit("make bench-peers creates the peers' virtual environment")
    sys.exit(main())
