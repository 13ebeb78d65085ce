"""A whole made-up installation, in the order of its history."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from random import Random

from django.utils import timezone

from accounts.models import User
from agents.models import AgentActivity
from apikeys.models import KeySecret, UsageLogEntry
from apikeys.notices import leak_event
from apikeys.recount import recount
from demo.context import new_context
from demo.keys import Keys, notice_of
from demo.names import ACTIONS, PLATFORMS
from demo.population import DemoAgent, Population
from demo.storage import without_constraint_checks
from demo.uses import Uses
from demo.verifications import Verifications

KEYS_OF_TENANT, KEYS_OF_AGENT = 100, 10
# Heartbeats last as long, so that somebody who looks around finds agents alive.
_ALIVE_FOR = (timedelta(hours=1), timedelta(hours=12))
_LOG_SINCE = timedelta(days=14)
# Rows on which a plain bulk insert is measured.
_SAMPLE = 2000


@dataclass(frozen=True)
class Filled:
    """The numbers of what was made, and the rates in rows a second: all told, and of `bulk_create` alone."""

    keys: int
    tenants: int
    agents: int
    people: int
    rows: int
    seconds: float
    plain_rows_per_second: float

    @property
    def rows_per_second(self) -> float:
        """The rows of a second, with all that it takes to make them up."""
        return self.rows / self.seconds


def fill(alice: User, *, keys: int, seed: int, progress: Callable[[int], object]) -> Filled:
    """Fill a marked database (demo.storage.begin). `progress` is told how many keys are made.

    The same seed makes the same installation, but for its secrets and its times, which end now.
    """
    with without_constraint_checks():
        return _Filling(Random(seed), timezone.now(), keys).run(alice, progress)  # noqa: S311  # made-up names and sizes


class _Filling:
    def __init__(self, random: Random, now: datetime, keys: int) -> None:
        self._random, self._now, self._number = random, now, keys
        self._context = new_context(random, now)
        self._storage = self._context.storage
        self._population = Population(self._context)

    def run(self, alice: User, progress: Callable[[int], object]) -> Filled:
        started = time.perf_counter()
        population = self._population
        population.make(
            alice,
            tenants=max(6, self._number // KEYS_OF_TENANT),
            agents=max(12, self._number // KEYS_OF_AGENT),
        )
        verifications = Verifications(self._context)
        uses = Uses(self._context, verifications, population.agents, population.tenants)
        self._keys = Keys(self._context, population, uses, verifications)
        measured = self._write_agents_and_keys(progress)
        uses.finish()
        self._write_logs()
        self._storage.flush()
        self._write_notices()
        self._storage.flush()
        recount()
        return Filled(
            keys=self._number,
            tenants=len(population.tenants),
            agents=len(population.agents),
            people=len(population.users),
            rows=self._storage.rows,
            seconds=time.perf_counter() - started - measured,
            plain_rows_per_second=self._storage.plain_rows_per_second or 0.0,
        )

    def _write_agents_and_keys(self, progress: Callable[[int], object]) -> float:
        """Write agents and keys in the order of their creation. Return how long measuring a plain insert took."""
        written, measured = 0, 0.0
        ids = self._key_ids()
        self._population.write_people()
        for at, _number, agent, is_key in sorted(self._creations(), key=itemgetter(0, 1)):
            self._context.audit_trail.write_up_to(at)
            if not is_key:
                self._population.write_agent(agent)
            else:
                self._keys.write(agent, next(ids), at)
                written += 1
                progress(1)
                is_sample = written * 2 >= self._number and self._storage.waiting >= _SAMPLE
                if self._storage.plain_rows_per_second is None and (is_sample or written == self._number):
                    began = time.perf_counter()
                    self._storage.measure_plain_insert()
                    measured = time.perf_counter() - began
        self._context.audit_trail.write_up_to(self._now)
        return measured

    def _creations(self) -> Iterator[tuple[datetime, int, DemoAgent, bool]]:
        """Yield agents and keys as their creation time, a distinct number, the agent, and whether it is a key of it."""
        agents = self._population.agents
        for agent in agents:
            yield agent.row.created_at, agent.number, agent, False
        of_keys = self._random.choices(agents, [agent.weight for agent in agents], k=self._number)
        for number, agent in enumerate(of_keys):
            yield self._context.moment_after(agent.row.created_at), len(agents) + number, agent, True

    def _key_ids(self) -> Iterator[str]:
        """Yield ids in their order, because rows are inserted faster in the order of the primary key."""
        step = 2**48 // self._number
        for number in range(self._number):
            yield f"key_{number * step + self._random.randrange(step):012x}"

    def _write_logs(self) -> None:
        """Write what is in the order of time by itself: refusals, the usage log, and heartbeats."""
        for refusal in sorted(self._keys.refusals, key=lambda row: row.at):
            self._storage.add(refusal)
        live = [agent for agent in self._population.agents if agent.is_live]
        number = self._number // 5
        for place, agent in enumerate(self._random.choices(live, [agent.weight for agent in live], k=number)):
            self._storage.add(self._log_entry(agent, self._now - _LOG_SINCE * (1 - place / number)))
        for agent in live:
            if self._random.random() < 0.6:
                self._storage.add(self._heartbeat(agent))

    def _log_entry(self, agent: DemoAgent, at: datetime) -> UsageLogEntry:
        return UsageLogEntry(
            tenant_id=agent.row.tenant_id,
            agent_id=agent.row.pk,
            user_id=str(self._random.randrange(10_000, 99_999)),
            platform=self._random.choice(PLATFORMS),
            action=self._random.choice(ACTIONS),
            details={"tokens": self._random.randrange(20, 4000)},
            timestamp=at,
            created_at=at,
        )

    def _heartbeat(self, agent: DemoAgent) -> AgentActivity:
        shortest, longest = _ALIVE_FOR
        seen = self._now - timedelta(seconds=self._random.randrange(600))
        lasts = shortest + (longest - shortest) * self._random.random()
        return AgentActivity(
            agent=agent.row,
            tenant_id=agent.row.tenant_id,
            last_seen_at=seen,
            ttl_seconds=int(lasts.total_seconds()),
            expires_at=seen + lasts,
        )

    def _write_notices(self) -> None:
        """Write what tenants were told, after the secrets, whose ids are in what is told of leaks."""
        events = list(self._keys.notices)
        for key, secret in self._keys.leaked:
            stored = KeySecret.objects.get(digest=secret.digest)
            assert stored.leaked_at is not None
            events.append((stored.leaked_at, leak_event(key, stored)))
        for at, event in sorted(events, key=itemgetter(0)):
            self._storage.add(notice_of(event, at))
