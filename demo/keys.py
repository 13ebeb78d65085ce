"""Keys, what became of them, and how they were used."""

from __future__ import annotations

from datetime import datetime, timedelta

from apikeys import keyformat
from apikeys.bulk_import import build_secret
from apikeys.fields import KEY_FIELDS
from apikeys.models import ApiKey, KeySecret, KeyStatus, Notice, Refusal
from apikeys.notices import EXPIRY_DAYS, Event, expiry_event
from apikeys.verification import VerdictCode
from core.limits import Period
from demo.context import Context
from demo.names import LEAKS
from demo.population import DemoAgent, Population
from demo.uses import DAYS, Uses
from demo.verifications import Verifications
from tenants.audit_log import REPORT_LEAK

_PERMISSIONS = (["chat"], ["chat", "config_read"], ["chat", "config.*"], ["admin.read"], ["chat", "tools", "memory"])
_NETWORKS = (["203.0.113.0/24"], ["198.51.100.7/32"], ["10.0.0.0/8", "2001:db8::/32"])
_GRACE_SECONDS = (0, 3600, 86_400, 7 * 86_400)
# A day's uses of one key: a few for most, tens of thousands for some.
_MAX_USES = 50_000
_REFUSED_SINCE = timedelta(days=7)


class Keys:
    """Keys by chance. What is written at the end, in the order of time, is collected meanwhile."""

    def __init__(self, context: Context, population: Population, uses: Uses, verifications: Verifications) -> None:
        self.refusals: list[Refusal] = []
        self.notices: list[tuple[datetime, Event]] = []
        self.leaked: list[tuple[ApiKey, KeySecret]] = []
        self._context = context
        self._random, self._now = context.random, context.now
        self._population = population
        self._uses, self._verifications = uses, verifications

    def write(self, agent: DemoAgent, key_id: str, at: datetime) -> None:
        """Write a key of an agent, with its secrets, its uses and its history."""
        random = self._random
        key = ApiKey(id=key_id, tenant_id=agent.row.tenant_id, agent_id=agent.row.pk, created_at=at, updated_at=at)
        key.set_name(self._context.names.key(agent.row.tenant_id))
        key.permissions = random.choice(_PERMISSIONS)
        self._limit(key)
        actor = self._population.actor(agent.tenant, at)
        state = KEY_FIELDS.audit_state(key)
        self._context.audit_trail.record(at, actor, "key.create", key.pk, key.tenant_id, after=state)
        secret = build_secret(key, keyformat.generate(key.tenant_id, key.agent_id), created_at=at)
        if random.random() < 0.06:
            self._rotate(agent, key, secret)
        good_until = self._end(agent, key, secret)
        self._use(agent, key, secret, good_until)
        self._context.storage.add(key)
        self._context.storage.add(secret)

    def _limit(self, key: ApiKey) -> None:
        random = self._random
        if random.random() < 0.15:
            key.rate_limit = {"limit": random.choice((10, 60, 100, 600)), "window_seconds": 60}
        if random.random() < 0.1:
            period = random.choice((Period.DAY, Period.MONTH))
            key.quota = {"limit": random.choice((100_000, 500_000, 2_000_000)), "period": period.value}
        if random.random() < 0.06:
            key.allowed_networks = random.choice(_NETWORKS)
        if random.random() < 0.1:
            key.metadata = {"team": random.choice(("平台", "growth", "ops", "数据")), "ticket": random.randrange(9999)}
        chance = random.random()
        if chance < 0.04:
            key.expires_at = key.created_at + (self._now - key.created_at) * random.random()
        elif chance < 0.05:
            key.expires_at = self._now + timedelta(days=max(EXPIRY_DAYS)) * random.random()
        elif chance < 0.14:
            key.expires_at = self._now + timedelta(days=random.randrange(8, 365))
        if key.expires_at is not None:
            key.expires_at = key.expires_at.replace(microsecond=0)

    def _rotate(self, agent: DemoAgent, key: ApiKey, secret: KeySecret) -> None:
        """Write the secret that the key had before this one."""
        at, grace = self._context.moment_after(key.created_at), self._random.choice(_GRACE_SECONDS)
        old = build_secret(
            key,
            keyformat.generate(key.tenant_id, key.agent_id),
            created_at=key.created_at,
            expires_at=at + timedelta(seconds=grace),
        )
        secret.created_at = key.updated_at = at
        if grace and self._random.random() < 0.5:
            old.last_used_at = min(self._now, at + timedelta(seconds=grace) * self._random.random())
        self._context.storage.add(old)
        after = {"hint": secret.hint, "old_hint": old.hint, "grace_seconds": grace}
        actor = self._population.actor(agent.tenant, at)
        self._context.audit_trail.record(at, actor, "key.rotate", key.pk, key.tenant_id, after=after)

    def _end(self, agent: DemoAgent, key: ApiKey, secret: KeySecret) -> datetime:
        """Decide whether the key is disabled or leaks, and return until when it was good: now, if it is."""
        chance, at = self._random.random(), self._context.moment_after(secret.created_at)
        actor = self._population.actor(agent.tenant, at)
        good_until = self._now if key.expires_at is None else min(key.expires_at, self._now)
        if chance < 0.06:
            good_until, key.status, key.updated_at = min(at, good_until), KeyStatus.DISABLED, at
            before, after = {"status": KeyStatus.ACTIVE.value}, {"status": KeyStatus.DISABLED.value}
            self._context.audit_trail.record(at, actor, "key.update", key.pk, key.tenant_id, before=before, after=after)
            self._refuse(key, VerdictCode.DISABLED, at)
        elif chance < 0.065:
            good_until, secret.leaked_at, key.updated_at = min(at, good_until), at, at
            secret.leaked_where = self._random.choice(LEAKS)
            self.leaked.append((key, secret))
            after = {"hint": secret.hint, "where": secret.leaked_where}
            self._context.audit_trail.record(at, actor, REPORT_LEAK, key.pk, key.tenant_id, after=after)
            self._refuse(key, VerdictCode.DISABLED, at, reason="leaked")
        elif good_until < self._now:
            self._refuse(key, VerdictCode.EXPIRED, good_until)
        elif not agent.is_live:
            self._refuse(key, VerdictCode.NOT_ACTIVE, max(agent.row.updated_at, agent.tenant.row.updated_at))
        elif key.rate_limit is not None:
            self._refuse(key, VerdictCode.LIMIT_EXCEEDED, key.created_at)
        elif key.allowed_networks:
            self._refuse(key, VerdictCode.ADDRESS_NOT_ALLOWED, key.created_at)
        if good_until == self._now and key.expires_at is not None:
            self._add_expiry_notice(key)
        return good_until

    def _add_expiry_notice(self, key: ApiKey) -> None:
        assert key.expires_at is not None
        if self._now < key.expires_at <= self._now + timedelta(days=max(EXPIRY_DAYS)):
            event = expiry_event(key, self._now)
            days = next(days for days in EXPIRY_DAYS if key.expires_at <= self._now + timedelta(days=days))
            self.notices.append((max(key.created_at, key.expires_at - timedelta(days=days)), event))

    def _refuse(self, key: ApiKey, code: VerdictCode, since: datetime, reason: str | None = None) -> None:
        """Let some bots go on calling with a key that is not good."""
        if self._random.random() > 0.3:
            return
        since = max(since, self._now - _REFUSED_SINCE)
        for _ in range(self._random.randrange(1, 4)):
            at = since + (self._now - since) * self._random.random()
            self._verifications.refuse(key, at, code, self._random.randrange(1, 20))
            refusal = Refusal(
                tenant_id=key.tenant_id,
                agent_id=key.agent_id,
                key_id=key.pk,
                code=code.value,
                reason=reason,
                at=at,
                request_id=f"req_{self._random.getrandbits(64):016x}",
                client_ip=f"192.0.2.{self._random.randrange(1, 255)}",
            )
            self.refusals.append(refusal)

    def _use(self, agent: DemoAgent, key: ApiKey, secret: KeySecret, good_until: datetime) -> None:
        """Write the days on which a key was used: a fifth never was, half not for a month, the others lately."""
        random = self._random
        chance = random.random()
        if chance < 0.22:
            return
        is_current = chance > 0.7 and agent.is_live and good_until == self._now
        last = (good_until.date() - self._uses.first_day).days
        if not is_current:
            last = min(last, DAYS - random.randrange(31, DAYS))
        first = max((key.created_at.date() - self._uses.first_day).days, last - 29, 0)
        if last < first:
            return
        ratio = random.choices((0.1, 0.25, 0.9), (60, 30, 10))[0] if is_current else 0.05
        days = sorted(random.sample(range(first, last + 1), max(1, int((last + 1 - first) * ratio))))
        usual = min(random.lognormvariate(1.6, 1.9), _MAX_USES)
        for day in days:
            number = 1 + int(usual * random.uniform(0.5, 1.5) * self._uses.share_of_day(day))
            key.usage_count += number
            start, end = self._uses.add(key, agent, day, number)
        began, ended = max(start, key.created_at), min(end, good_until)
        key.last_used_at = began + max(ended - began, timedelta()) * random.random()


def notice_of(event: Event, at: datetime) -> Notice:
    """Return the row of an event that a tenant was told of."""
    tenant_id, kind, subject, occasion, details = event
    return Notice(tenant_id=tenant_id, kind=kind, subject=subject, occasion=occasion, details=details, created_at=at)
