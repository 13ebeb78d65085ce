"""A process of `manage.py bridge_maim_db`, and an experiment that kills it beside writers."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from legacy.sources import Source
from legacy.tests.old_databases import OldDatabase
from tests.support import processes
from tests.support.feed import Writers
from tests.support.http import get, http_client
from tests.support.instances import WAIT, wait_until
from tests.support.old_bot import OldBot
from tests.support.processes import Process
from tests.support.server import MaimServer

PROBES = 8  # agents that are changed and read at the same time


class Bridge:
    """A bridge process with its log in a file."""

    def __init__(self, maim: MaimServer, url: str, *arguments: str) -> None:
        self._maim, self._command = maim, ["bridge_maim_db", "--to", url, *arguments]
        self._log_path = maim.directory / "bridge.log"
        self._process: Process | None = None

    @property
    def log(self) -> str:
        return self._log_path.read_text()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self._process = processes.start(["manage.py", *self._command], self._maim.environment, self._log_path)

    def kill(self) -> None:
        """Send SIGKILL, like the kernel when memory is short."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(WAIT)

    def stop(self, seconds: float = 20) -> tuple[int, float]:
        """Send SIGTERM. Return the exit code, and the seconds that the process took to end."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds), time.monotonic() - began

    def wait(self, seconds: float = 20) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_running:
            self.kill()


def gauge(server: MaimServer, old: OldDatabase, name: str) -> float | None:
    """Return one of the bridge's gauges in /metrics."""
    label = re.escape(str(Source(old.url)))
    differing = re.search(
        rf'^maim_bridge_{name}{{target="{label}"}} (\S+)$', get(f"{server.internal}/metrics").text, re.MULTILINE
    )
    return None if differing is None else float(differing[1])


@dataclass(frozen=True)
class Result:
    """The result of the experiment."""

    done: dict[str, int]
    # Seconds from the response to a change until a bot read it, without and with a kill of the bridge meanwhile.
    seen_after: list[float]
    seen_after_kill: list[float]
    agents: int
    differing: dict[str, Any]

    def quantile(self, share: float) -> float:
        """Return the seconds after which this share of the changes was read, without those made during a kill."""
        return sorted(self.seen_after)[min(len(self.seen_after) - 1, int(share * len(self.seen_after)))]


def bridge_beside_writers(
    servers: Sequence[MaimServer], old: OldDatabase, *, agents: int, writers: int, seconds: float, kills: int
) -> Result:
    """Run a bridge while writers work on seeded agents (tests.support.feed), and kill and restart it several times.

    At the end, compare the configs that an old bot reads with those of maim.
    """
    work, bot = Writers(servers, agents), OldBot(old.url)
    delays = _Delays()
    probes = [_Probe(servers[0], bot, delays, number) for number in range(PROBES)]
    with Bridge(servers[0], old.url) as bridge:
        thread = threading.Thread(target=work.work, args=(writers, seconds))
        wait_until(
            lambda: gauge(servers[0], old, "compared_timestamp_seconds") is not None, "the first comparison ends", 120
        )
        thread.start()
        for probe in probes:
            probe.start()
        for _kill in range(kills):
            time.sleep(seconds / (kills + 1))
            with delays.interruption():
                bridge.kill()
                time.sleep(1)
                bridge.start()
        thread.join()
        delays.ended.set()
        for probe in probes:
            probe.join()
        wait_until(lambda: gauge(servers[0], old, "lag_seconds") == 0, "the bridge has caught up", 120)
        assert bridge.stop()[0] == 0
    differing = differing_configs(servers[0], bot)
    assert "Traceback" not in bridge.log
    assert [probe.name for probe in probes if not probe.has_ended] == []
    return Result(
        dict(work.done),
        delays.seen_after,
        delays.seen_after_kill,
        len(differing),
        {k: v for k, v in differing.items() if v},
    )


_CONFIGS = """
import json
from agents import effective_config
from agents.models import Agent
ids = list(Agent.unscoped.values_list("pk", flat=True))
for start in range(0, len(ids), 200):
    for agent_id, config in effective_config.get_configs_without_defaults(ids[start:start + 200]).items():
        print(json.dumps([agent_id, config]))
"""


# An old bot reads these with the defaults of their columns, so they are not compared.
_TABLE_SECTIONS = ("config_overrides", "persona")


def differing_configs(server: MaimServer, bot: OldBot) -> dict[str, Any]:
    """Return the expected and the read config of each agent of either side, or None if they are equal."""
    configs = dict(json.loads(line) for line in server.manage("shell", "-v0", "-c", _CONFIGS).splitlines())
    differing = dict[str, Any]()
    for agent_id in configs.keys() | set(bot.agents()):
        read, expected = bot.config(agent_id), configs.get(agent_id)
        actual_rest, expected_rest = (
            None if config is None else {key: value for key, value in config.items() if key not in _TABLE_SECTIONS}
            for config in (read, expected)
        )
        differing[agent_id] = None if actual_rest == expected_rest else (expected_rest, actual_rest)
    return differing


class _Delays:
    """The seconds until a bot read each change, without and with a kill of the bridge meanwhile."""

    def __init__(self) -> None:
        self._interruptions, self._goes_on = 0, threading.Event()
        self._goes_on.set()
        self.ended = threading.Event()
        self.seen_after: list[float] = []
        self.seen_after_kill: list[float] = []

    @contextmanager
    def interruption(self) -> Iterator[None]:
        """Mark a kill of the bridge in the block. Wait until a bot reads a change made after the kill."""
        self._interruptions += 1
        self._goes_on.clear()
        yield
        assert self._goes_on.wait(WAIT), "the bridge did not continue"

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the block, which waits until a bot reads a change that was just made."""
        was_running, before, began = self._goes_on.is_set(), self._interruptions, time.monotonic()
        yield
        is_uninterrupted = was_running and self._interruptions == before
        (self.seen_after if is_uninterrupted else self.seen_after_kill).append(time.monotonic() - began)
        if not was_running:
            self._goes_on.set()


class _Probe(threading.Thread):
    """A thread that changes an agent of its own again and again, and waits until an old bot reads each change."""

    def __init__(self, server: MaimServer, bot: OldBot, delays: _Delays, number: int) -> None:
        super().__init__(name=f"probe {number}")
        self._server, self._bot, self._delays = server, bot, delays
        self.has_ended = False

    def run(self) -> None:
        with http_client(f"{self._server.internal}/api/v2") as client:
            body = {"tenant_id": "tenant_0", "name": self.name}
            agent_id = client.post("/agents", json=body).json()["data"]["id"]
            while not self._delays.ended.is_set():
                self._measure(client, agent_id)
        self.has_ended = True

    def _measure(self, client: httpx.Client, agent_id: str) -> None:
        value = random.random()
        time.sleep(value / 2)  # so that changes come at any moment between two reads of the bridge
        response = client.put(f"/agents/{agent_id}/config", json={"probe": value})
        if response.status_code != 200:
            return
        with self._delays.measured():
            wait_until(lambda: self._bot.json_config(agent_id).get("probe") == value, "an old bot reads a change", 120)
