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
from tests.support.doors import NETWORKS, Admin, Commands, Console, Door
from tests.support.instances import wait_until
from tests.support.server import MaimServer

# Questions that each bot has asked, and been answered, after a change, before the next is made.
ASKED_OF_EACH = 10
PACE_SECONDS = 0.05
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
    make: Callable[[Door], object]
    seen: Seen = Seen()
    seen_of_former: Seen | None = None


RATE = {"window_seconds": 1}
LIFE = (
    Change("key disabled", lambda door: door.disable_key(), refused(DISABLED)),
    Change("key enabled", lambda door: door.enable_key()),
    Change("key rotated", lambda door: door.rotate_key(), Seen(), refused(EXPIRED)),
)
END = (
    Change("key deleted", lambda door: door.delete_key(), refused(UNKNOWN)),
    Change("key made anew", lambda door: door.make_key(), Seen(), refused(UNKNOWN)),
)
LEAK = (
    Change("leak reported", lambda door: door.report_leak(), refused(DISABLED)),
    Change("leaked key rotated", lambda door: door.rotate_key(), Seen(), refused(DISABLED)),
)
KEY = (
    Change("permission taken", lambda door: door.change_key(permissions=["read"]), Seen(PERMISSION_MISSING)),
    Change("permission given", lambda door: door.change_key(permissions=["chat"])),
    Change("expiry past", lambda door: door.change_key(expires_at="2020-01-31T12:00:00Z"), refused(EXPIRED)),
    Change("expiry cleared", lambda door: door.change_key(expires_at=None)),
    Change("limit set", lambda door: door.change_key(rate_limit={"limit": 10_000, **RATE}), Seen(limit=10_000)),
    Change("limit changed", lambda door: door.change_key(rate_limit={"limit": 9_999, **RATE}), Seen(limit=9_999)),
    Change("limit cleared", lambda door: door.change_key(rate_limit=None)),
    Change("network closed", lambda door: door.change_key(allowed_networks=NETWORKS), refused(ADDRESS_NOT_ALLOWED)),
    Change("network opened", lambda door: door.change_key(allowed_networks=[])),
    Change("key renamed", lambda door: door.change_key(name="other"), Seen(key_name="other")),
    Change("key named back", lambda door: door.change_key(name="key")),
    Change("key status disabled", lambda door: door.change_key(status="disabled"), refused(DISABLED)),
    Change("key status active", lambda door: door.change_key(status="active")),
)
AGENT = (
    Change("agent inactive", lambda door: door.change_agent(status="inactive"), refused(NOT_ACTIVE)),
    Change("agent active", lambda door: door.change_agent(status="active")),
    Change("agent archived", lambda door: door.change_agent(status="archived"), refused(NOT_ACTIVE)),
    Change("agent active again", lambda door: door.change_agent(status="active")),
    Change("agent limited", lambda door: door.change_agent(rate_limit={"limit": 9_998, **RATE}), Seen(limit=9_998)),
    Change("agent unlimited", lambda door: door.change_agent(rate_limit={})),
    Change("agent renamed", lambda door: door.change_agent(name="other"), Seen(agent_name="other")),
    Change("agent deleted", lambda door: door.delete_agent(), refused(UNKNOWN)),
    Change("agent made anew", lambda door: door.make_agent(), Seen(), refused(UNKNOWN)),
)
TENANT = (
    Change("tenant suspended", lambda door: door.change_tenant(status="suspended"), refused(NOT_ACTIVE)),
    Change("tenant active", lambda door: door.change_tenant(status="active")),
    Change("tenant inactive", lambda door: door.change_tenant(status="inactive"), refused(NOT_ACTIVE)),
    Change("tenant active again", lambda door: door.change_tenant(status="active")),
    Change("tenant limited", lambda door: door.change_tenant(rate_limit={"limit": 9_997, **RATE}), Seen(limit=9_997)),
    Change("tenant unlimited", lambda door: door.change_tenant(rate_limit={})),
)
TENANT_END = (
    Change("tenant deleted", lambda door: door.delete_tenant(), refused(UNKNOWN)),
    Change("tenant made anew", lambda door: door.make_tenant(), Seen(), refused(UNKNOWN)),
)
# By each door, what it can do; in parts that can go on beside each other.
SCRIPTS: Sequence[tuple[type[Door], Sequence[Change]]] = (
    (Door, (*LIFE, *LEAK, *KEY, *END)),
    (Door, (*AGENT, *TENANT, *TENANT_END)),
    (Console, (*LIFE, *KEY)),
    (Console, (*END, *AGENT, *TENANT_END)),
    (Admin, (*LIFE, *KEY, *END)),
    (Admin, (*AGENT, *TENANT, *TENANT_END)),
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


def experiment(door: Door, servers: Sequence[MaimServer], script: Sequence[Change]) -> Findings:
    """Make these changes one after the other, while every worker of every server is asked."""
    findings = Findings()
    door.make_tenant()
    asking = [_Asking(bot, maim.internal_port, (door.secret,)) for maim in servers for bot in bot_of_each_worker(maim)]
    began = time.monotonic()
    for each in asking:
        each.start()
    try:
        wait_until(lambda: all(each.has_asked_since(began) for each in asking), "every worker remembers the key")
        for change in script:
            _make(change, door, asking, findings)
    finally:
        for each in asking:
            each.is_over = True
        for each in asking:
            each.join()
        door.close()
    return findings


def experiments(servers: Sequence[MaimServer], *, rounds: int = 1) -> Findings:
    """Make all changes through all doors at once, each time with a key of its own."""

    def run(part: tuple[type[Door], Sequence[Change]]) -> Findings:
        door, script = part
        return experiment(door(servers), servers, [*script] * rounds)

    findings = Findings()
    with ThreadPoolExecutor(len(SCRIPTS)) as pool:
        for each in pool.map(run, SCRIPTS):
            findings.add(each)
    return findings


def _make(change: Change, door: Door, asking: Sequence[_Asking], findings: Findings) -> None:
    former = door.secret
    change.make(door)
    answered = time.monotonic()
    right = {door.secret: change.seen}
    if change.seen_of_former is not None:
        right[former] = change.seen_of_former
    for each in asking:
        each.hurry(tuple(right), answered)
    wait_until(lambda: all(each.has_asked_since(answered) for each in asking), "every worker is asked")
    until = time.monotonic()
    kind = f"{type(door).__name__}: {change.kind}"
    findings.changes += 1
    for sent, got, secret, told in (row for each in asking for row in each.take()):
        # A worker whose database does not answer in time responds so, which is no verdict.
        if sent <= answered or got >= until or secret not in right or told.is_away:
            continue
        findings.checks[kind] += 1
        if Seen.of(told) != right[secret]:
            findings.violations[kind] += 1
            findings.examples.append(f"{kind}, {1000 * (sent - answered):.0f} ms after: {Seen.of(told)}")
