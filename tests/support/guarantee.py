"""The guarantee as an experiment: bots validate a key all the time while it is changed in every way.

A request that is sent after the response to a change has arrived never gets a verdict from before the change, from
any worker of any process. So the experiment notes when the response to each change arrived, and when each request
was sent and its response received, all on one clock. A request between two changes has one right response.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from apikeys.verification import ADDRESS_NOT_ALLOWED, DISABLED, EXPIRED, NOT_ACTIVE, PERMISSION_MISSING, UNKNOWN, VALID
from tests.support.bots import Bot, BotResponse, bot_of_each_worker
from tests.support.instances import wait_until
from tests.support.interfaces import NETWORKS, AdminSite, Commands, InternalApi, PublicApi
from tests.support.server import MaimServer

# The responses that each bot gets after a change before the next one is made.
REQUESTS_PER_BOT = 6
PACE_SECONDS = 0.2  # shorter than a change waits, so that every worker gets requests during each change
CLIENT_IP = "198.51.100.7"


class Verdict(NamedTuple):
    """The verdict on a key as a bot sees it."""

    code: str = VALID
    key_name: str | None = "key"
    agent_name: str | None = "agent"
    limit: int | None = None

    @classmethod
    def from_response(cls, response: BotResponse) -> Verdict:
        data = response.data
        limit = (data.get("rate_limit") or {}).get("limit")
        return cls(response.code, data.get("key_name"), data.get("agent_name"), limit)


def rejection(code: str) -> Verdict:
    """Return the verdict on a key that is not valid."""
    return Verdict(code, None, None)


class Change(NamedTuple):
    """A change, the verdict on the key's secret afterwards, and the one on its former secret."""

    kind: str
    make: Callable[[InternalApi], object]
    verdict: Verdict = Verdict()
    former_verdict: Verdict | None = None


RATE = {"window_seconds": 1}
LIFE = (
    Change("key disabled", lambda api: api.disable_key(), rejection(DISABLED)),
    Change("key enabled", lambda api: api.enable_key()),
    Change("key rotated", lambda api: api.rotate_key(), Verdict(), rejection(EXPIRED)),
)
TOGETHER = (
    Change("keys disabled together", lambda api: api.change_keys("disable"), rejection(DISABLED)),
    Change("keys enabled together", lambda api: api.change_keys("enable")),
)
END = (
    Change("key deleted", lambda api: api.delete_key(), rejection(UNKNOWN)),
    Change("key made anew", lambda api: api.make_key(), Verdict(), rejection(UNKNOWN)),
)
LEAK = (
    Change("leak reported", lambda api: api.report_leak(), rejection(DISABLED)),
    Change("leaked key rotated", lambda api: api.rotate_key(), Verdict(), rejection(DISABLED)),
)
KEY = (
    Change("permission taken", lambda api: api.change_key(permissions=["read"]), Verdict(PERMISSION_MISSING)),
    Change("permission given", lambda api: api.change_key(permissions=["chat"])),
    Change("expiry past", lambda api: api.change_key(expires_at="2020-01-31T12:00:00Z"), rejection(EXPIRED)),
    Change("expiry cleared", lambda api: api.change_key(expires_at=None)),
    Change("limit set", lambda api: api.change_key(rate_limit={"limit": 10_000, **RATE}), Verdict(limit=10_000)),
    Change("limit changed", lambda api: api.change_key(rate_limit={"limit": 9_999, **RATE}), Verdict(limit=9_999)),
    Change("limit cleared", lambda api: api.change_key(rate_limit=None)),
    Change(
        "network closed",
        lambda api: api.change_key(allowed_networks=NETWORKS),
        rejection(ADDRESS_NOT_ALLOWED),
    ),
    Change("network opened", lambda api: api.change_key(allowed_networks=[])),
    Change("key renamed", lambda api: api.change_key(name="other"), Verdict(key_name="other")),
    Change("key named back", lambda api: api.change_key(name="key")),
    Change("key status disabled", lambda api: api.change_key(status="disabled"), rejection(DISABLED)),
    Change("key status active", lambda api: api.change_key(status="active")),
)
AGENT = (
    Change("agent inactive", lambda api: api.change_agent(status="inactive"), rejection(NOT_ACTIVE)),
    Change("agent active", lambda api: api.change_agent(status="active")),
    Change("agent archived", lambda api: api.change_agent(status="archived"), rejection(NOT_ACTIVE)),
    Change("agent active again", lambda api: api.change_agent(status="active")),
    Change(
        "agent limited",
        lambda api: api.change_agent(rate_limit={"limit": 9_998, **RATE}),
        Verdict(limit=9_998),
    ),
    Change("agent unlimited", lambda api: api.change_agent(rate_limit={})),
    Change("agent renamed", lambda api: api.change_agent(name="other"), Verdict(agent_name="other")),
    Change("agent deleted", lambda api: api.delete_agent(), rejection(UNKNOWN)),
    Change("agent made anew", lambda api: api.make_agent(), Verdict(), rejection(UNKNOWN)),
)
TENANT = (
    Change("tenant suspended", lambda api: api.change_tenant(status="suspended"), rejection(NOT_ACTIVE)),
    Change("tenant active", lambda api: api.change_tenant(status="active")),
    Change("tenant inactive", lambda api: api.change_tenant(status="inactive"), rejection(NOT_ACTIVE)),
    Change("tenant active again", lambda api: api.change_tenant(status="active")),
    Change(
        "tenant limited",
        lambda api: api.change_tenant(rate_limit={"limit": 9_997, **RATE}),
        Verdict(limit=9_997),
    ),
    Change("tenant unlimited", lambda api: api.change_tenant(rate_limit={})),
)
TENANT_END = (
    Change("tenant deleted", lambda api: api.delete_tenant(), rejection(UNKNOWN)),
    Change("tenant made anew", lambda api: api.make_tenant(), Verdict(), rejection(UNKNOWN)),
)
# What each interface can do, in parts that can run at the same time.
SCRIPTS: Sequence[tuple[type[InternalApi], Sequence[Change]]] = (
    (InternalApi, (*LIFE, *TOGETHER, *LEAK, *KEY, *END)),
    (InternalApi, (*AGENT, *TENANT, *TENANT_END)),
    (PublicApi, (*LIFE, *TOGETHER, *KEY)),
    (PublicApi, (*END, *AGENT, *TENANT_END)),
    (AdminSite, (*LIFE, *KEY, *END)),
    (AdminSite, (*AGENT, *TENANT, *TENANT_END)),
    (Commands, (*LIFE, *END)),
)


@dataclass
class Findings:
    """The number of responses compared with each kind of change, and those that were outdated."""

    checks: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    changes: int = 0

    def add(self, other: Findings) -> None:
        self.checks += other.checks
        self.violations += other.violations
        self.examples += other.examples
        self.changes += other.changes


class _BotThread(threading.Thread):
    """A thread that sends requests alternately to one worker on a kept connection and to any worker on a new one."""

    def __init__(self, connection: Bot, port: int, secrets: tuple[str, ...]) -> None:
        super().__init__(daemon=True)
        self._connection, self._port = connection, port
        self.secrets = secrets
        self.exchanges: list[tuple[float, float, str, BotResponse]] = []
        self.is_over = False
        self._changed_at = 0.0
        self._hurried = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self.is_over:
                for secret in self.secrets:
                    self._validate(self._connection, secret)
                    with Bot(self._port) as fresh:
                        self._validate(fresh, secret)
                # More requests would only keep the servers, on two cores, from making the changes.
                if self._hurried.wait(PACE_SECONDS) and self.has_responses_since(self._changed_at):
                    self._hurried.clear()
        except Exception as error:  # noqa: BLE001  # raised by `has_responses_since`
            self.error = error
        finally:
            self._connection.close()

    def hurry(self, secrets: tuple[str, ...], changed_at: float) -> None:
        """Validate these secrets from now on, without pauses until there are enough responses from after the change."""
        self.secrets, self._changed_at = secrets, changed_at
        self._hurried.set()

    def has_responses_since(self, since: float) -> bool:
        """Return whether there are enough responses to requests that were sent after a time."""
        if self.error is not None:
            raise self.error
        recent = [1 for sent_at, *_ in self.exchanges[-REQUESTS_PER_BOT * len(self.secrets) :] if sent_at > since]
        return len(recent) == REQUESTS_PER_BOT * len(self.secrets)

    def drain(self) -> list[tuple[float, float, str, BotResponse]]:
        """Return the exchanges since the last call."""
        exchanges, self.exchanges = self.exchanges, []
        return exchanges

    def _validate(self, bot: Bot, secret: str) -> None:
        sent_at = time.monotonic()
        response = bot.validate(secret, required_permission="chat", client_ip=CLIENT_IP)
        self.exchanges.append((sent_at, time.monotonic(), secret, response))


def experiment(interface: InternalApi, servers: Sequence[MaimServer], script: Sequence[Change]) -> Findings:
    """Make these changes through an interface, one after the other, while bots send requests to every worker."""
    findings = Findings()
    interface.make_tenant()
    bot_threads = [
        _BotThread(bot, maim.internal_port, (interface.secret,)) for maim in servers for bot in bot_of_each_worker(maim)
    ]
    began = time.monotonic()
    for thread in bot_threads:
        thread.start()
    try:
        wait_until(lambda: all(thread.has_responses_since(began) for thread in bot_threads), "every worker responds")
        for change in script:
            _make(change, interface, bot_threads, findings)
    finally:
        for thread in bot_threads:
            thread.is_over = True
        for thread in bot_threads:
            thread.join()
        interface.close()
    return findings


def experiments(servers: Sequence[MaimServer], *, rounds: int = 1) -> Findings:
    """Make all changes through all interfaces at once, each with a key of its own."""

    def run(part: tuple[type[InternalApi], Sequence[Change]]) -> Findings:
        interface, script = part
        return experiment(interface(servers), servers, [*script] * rounds)

    findings = Findings()
    with ThreadPoolExecutor(len(SCRIPTS)) as pool:
        for part_findings in pool.map(run, SCRIPTS):
            findings.add(part_findings)
    return findings


def _make(change: Change, interface: InternalApi, bot_threads: Sequence[_BotThread], findings: Findings) -> None:
    former = interface.secret
    change.make(interface)
    changed_at = time.monotonic()
    expected = {interface.secret: change.verdict}
    if change.former_verdict is not None:
        expected[former] = change.former_verdict
    for thread in bot_threads:
        thread.hurry(tuple(expected), changed_at)
    wait_until(lambda: all(thread.has_responses_since(changed_at) for thread in bot_threads), "every worker responds")
    until = time.monotonic()
    kind = f"{type(interface).__name__}: {change.kind}"
    findings.changes += 1
    for sent_at, received_at, secret, response in (row for thread in bot_threads for row in thread.drain()):
        # A worker whose database does not answer in time gives no verdict.
        if sent_at <= changed_at or received_at >= until or secret not in expected or response.is_unavailable:
            continue
        findings.checks[kind] += 1
        verdict = Verdict.from_response(response)
        if verdict != expected[secret]:
            findings.violations[kind] += 1
            findings.examples.append(f"{kind}, {1000 * (sent_at - changed_at):.0f} ms after: {verdict}")
