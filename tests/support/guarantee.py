"""The guarantee as an experiment: bots ask about a key without a pause while it is changed in every way.

A verification that is sent after the answer to a change has arrived is never answered from before it, by
any worker of any process. So of every change the moment is noted when its answer had come, and of every
question when it was sent and when it was answered; all on one clock. What was asked between two changes
has one right answer.
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
from tests.support.bots import Bot, Told, bot_of_each_worker
from tests.support.instances import wait_until
from tests.support.interfaces import NETWORKS, AdminSite, Commands, InternalApi, PublicApi
from tests.support.server import MaimServer

# Questions that each bot has asked, and been answered, after a change, before the next is made.
ASKED_OF_EACH = 6
PACE_SECONDS = 0.2  # more often than a change waits, so that every worker is asked while each is made
CLIENT_IP = "198.51.100.7"


class Seen(NamedTuple):
    """The verdict on a key as a bot sees it."""

    code: str = VALID
    key_name: str | None = "key"
    agent_name: str | None = "agent"
    limit: int | None = None

    @classmethod
    def of(cls, told: Told) -> Seen:
        data = told.data
        limit = (data.get("rate_limit") or {}).get("limit")
        return cls(told.code, data.get("key_name"), data.get("agent_name"), limit)


def refused(code: str) -> Seen:
    """Return the verdict on a key that is not valid."""
    return Seen(code, None, None)


class Change(NamedTuple):
    """A change, what is seen of the key's secret when it is made, and of the secret that it had before."""

    kind: str
    make: Callable[[InternalApi], object]
    seen: Seen = Seen()
    seen_of_former: Seen | None = None


RATE = {"window_seconds": 1}
LIFE = (
    Change("key disabled", lambda api: api.disable_key(), refused(DISABLED)),
    Change("key enabled", lambda api: api.enable_key()),
    Change("key rotated", lambda api: api.rotate_key(), Seen(), refused(EXPIRED)),
)
END = (
    Change("key deleted", lambda api: api.delete_key(), refused(UNKNOWN)),
    Change("key made anew", lambda api: api.make_key(), Seen(), refused(UNKNOWN)),
)
LEAK = (
    Change("leak reported", lambda api: api.report_leak(), refused(DISABLED)),
    Change("leaked key rotated", lambda api: api.rotate_key(), Seen(), refused(DISABLED)),
)
KEY = (
    Change("permission taken", lambda api: api.change_key(permissions=["read"]), Seen(PERMISSION_MISSING)),
    Change("permission given", lambda api: api.change_key(permissions=["chat"])),
    Change("expiry past", lambda api: api.change_key(expires_at="2020-01-31T12:00:00Z"), refused(EXPIRED)),
    Change("expiry cleared", lambda api: api.change_key(expires_at=None)),
    Change("limit set", lambda api: api.change_key(rate_limit={"limit": 10_000, **RATE}), Seen(limit=10_000)),
    Change("limit changed", lambda api: api.change_key(rate_limit={"limit": 9_999, **RATE}), Seen(limit=9_999)),
    Change("limit cleared", lambda api: api.change_key(rate_limit=None)),
    Change(
        "network closed",
        lambda api: api.change_key(allowed_networks=NETWORKS),
        refused(ADDRESS_NOT_ALLOWED),
    ),
    Change("network opened", lambda api: api.change_key(allowed_networks=[])),
    Change("key renamed", lambda api: api.change_key(name="other"), Seen(key_name="other")),
    Change("key named back", lambda api: api.change_key(name="key")),
    Change("key status disabled", lambda api: api.change_key(status="disabled"), refused(DISABLED)),
    Change("key status active", lambda api: api.change_key(status="active")),
)
AGENT = (
    Change("agent inactive", lambda api: api.change_agent(status="inactive"), refused(NOT_ACTIVE)),
    Change("agent active", lambda api: api.change_agent(status="active")),
    Change("agent archived", lambda api: api.change_agent(status="archived"), refused(NOT_ACTIVE)),
    Change("agent active again", lambda api: api.change_agent(status="active")),
    Change(
        "agent limited",
        lambda api: api.change_agent(rate_limit={"limit": 9_998, **RATE}),
        Seen(limit=9_998),
    ),
    Change("agent unlimited", lambda api: api.change_agent(rate_limit={})),
    Change("agent renamed", lambda api: api.change_agent(name="other"), Seen(agent_name="other")),
    Change("agent deleted", lambda api: api.delete_agent(), refused(UNKNOWN)),
    Change("agent made anew", lambda api: api.make_agent(), Seen(), refused(UNKNOWN)),
)
TENANT = (
    Change("tenant suspended", lambda api: api.change_tenant(status="suspended"), refused(NOT_ACTIVE)),
    Change("tenant active", lambda api: api.change_tenant(status="active")),
    Change("tenant inactive", lambda api: api.change_tenant(status="inactive"), refused(NOT_ACTIVE)),
    Change("tenant active again", lambda api: api.change_tenant(status="active")),
    Change(
        "tenant limited",
        lambda api: api.change_tenant(rate_limit={"limit": 9_997, **RATE}),
        Seen(limit=9_997),
    ),
    Change("tenant unlimited", lambda api: api.change_tenant(rate_limit={})),
)
TENANT_END = (
    Change("tenant deleted", lambda api: api.delete_tenant(), refused(UNKNOWN)),
    Change("tenant made anew", lambda api: api.make_tenant(), Seen(), refused(UNKNOWN)),
)
# What each interface can do, in parts that can run at the same time.
SCRIPTS: Sequence[tuple[type[InternalApi], Sequence[Change]]] = (
    (InternalApi, (*LIFE, *LEAK, *KEY, *END)),
    (InternalApi, (*AGENT, *TENANT, *TENANT_END)),
    (PublicApi, (*LIFE, *KEY)),
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


class _Asking(threading.Thread):
    """Sends requests to one worker on a kept connection and, every other time, to any worker on a new one."""

    def __init__(self, kept: Bot, port: int, secrets: tuple[str, ...]) -> None:
        super().__init__(daemon=True)
        self._kept, self._port = kept, port
        self.secrets = secrets
        self.asked: list[tuple[float, float, str, Told]] = []
        self.is_over = False
        self._answered = 0.0
        self._hurried = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self.is_over:
                for secret in self.secrets:
                    self._ask(self._kept, secret)
                    with Bot(self._port) as fresh:
                        self._ask(fresh, secret)
                # More requests would only keep the servers, on two cores, from making the changes.
                if self._hurried.wait(PACE_SECONDS) and self.has_asked_since(self._answered):
                    self._hurried.clear()
        except Exception as error:  # noqa: BLE001  # to be raised where it is seen
            self.error = error
        finally:
            self._kept.close()

    def hurry(self, secrets: tuple[str, ...], answered: float) -> None:
        """Asks about these from now on, and without a pause until enough is asked since that moment."""
        self.secrets, self._answered = secrets, answered
        self._hurried.set()

    def has_asked_since(self, moment: float) -> bool:
        """Return whether enough requests that were sent after a moment are answered."""
        if self.error is not None:
            raise self.error
        since = [1 for sent, *_ in self.asked[-ASKED_OF_EACH * len(self.secrets) :] if sent > moment]
        return len(since) == ASKED_OF_EACH * len(self.secrets)

    def take(self) -> list[tuple[float, float, str, Told]]:
        """Return the requests since the last call."""
        asked, self.asked = self.asked, []
        return asked

    def _ask(self, bot: Bot, secret: str) -> None:
        sent = time.monotonic()
        told = bot.validate(secret, required_permission="chat", client_ip=CLIENT_IP)
        self.asked.append((sent, time.monotonic(), secret, told))


def experiment(interface: InternalApi, servers: Sequence[MaimServer], script: Sequence[Change]) -> Findings:
    """Make these changes through an interface, one after the other, while every worker of every server is asked."""
    findings = Findings()
    interface.make_tenant()
    asking = [
        _Asking(bot, maim.internal_port, (interface.secret,)) for maim in servers for bot in bot_of_each_worker(maim)
    ]
    began = time.monotonic()
    for each in asking:
        each.start()
    try:
        wait_until(lambda: all(each.has_asked_since(began) for each in asking), "every worker remembers the key")
        for change in script:
            _make(change, interface, asking, findings)
    finally:
        for each in asking:
            each.is_over = True
        for each in asking:
            each.join()
        interface.close()
    return findings


def experiments(servers: Sequence[MaimServer], *, rounds: int = 1) -> Findings:
    """Make all changes through all interfaces at once, each with a key of its own."""

    def run(part: tuple[type[InternalApi], Sequence[Change]]) -> Findings:
        interface, script = part
        return experiment(interface(servers), servers, [*script] * rounds)

    findings = Findings()
    with ThreadPoolExecutor(len(SCRIPTS)) as pool:
        for each in pool.map(run, SCRIPTS):
            findings.add(each)
    return findings


def _make(change: Change, interface: InternalApi, asking: Sequence[_Asking], findings: Findings) -> None:
    former = interface.secret
    change.make(interface)
    answered = time.monotonic()
    right = {interface.secret: change.seen}
    if change.seen_of_former is not None:
        right[former] = change.seen_of_former
    for each in asking:
        each.hurry(tuple(right), answered)
    wait_until(lambda: all(each.has_asked_since(answered) for each in asking), "every worker is asked")
    until = time.monotonic()
    kind = f"{type(interface).__name__}: {change.kind}"
    findings.changes += 1
    for sent, got, secret, told in (row for each in asking for row in each.take()):
        # A worker whose database does not answer in time responds so, which is no verdict.
        if sent <= answered or got >= until or secret not in right or told.is_away:
            continue
        findings.checks[kind] += 1
        if Seen.of(told) != right[secret]:
            findings.violations[kind] += 1
            findings.examples.append(f"{kind}, {1000 * (sent - answered):.0f} ms after: {Seen.of(told)}")
