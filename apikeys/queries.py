"""Lists of keys and their filters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from apikeys import keyformat
from apikeys.access import keys_for, read_newest_keys
from apikeys.models import ApiKey, KeySecret, KeyStatus
from core import counts
from core.actor import Actor
from core.counts import Kind
from core.listing import NEAR, LargeList
from core.text import fold_name


def filter_keys(
    rows: QuerySet[ApiKey],
    *,
    tenant_id: str | None = None,
    agent_id: str | None = None,
    status: str | None = None,
    q: str | None = None,
    expires_within_days: int | None = None,
    never_used: bool | None = None,
    unused_since: datetime | None = None,
) -> QuerySet[ApiKey]:
    """Return the rows that match every filter given.

    `status` is the one that people see; `q` is a part of the name, the whole id, or the masked secret. A key that
    `expires_within_days` is still active now. A key is `unused_since` a time if its last use was before it, or if it
    was issued before it and never used.
    """
    if tenant_id is not None:
        rows = rows.filter(tenant_id=tenant_id)
    if agent_id is not None:
        rows = rows.filter(agent_id=agent_id)
    if q is not None:
        part = fold_name(q)  # empty without a visible character, which is part of no name
        has_name = Q(name_folded__contains=part) if part else Q(name_folded="")
        rows = rows.filter(has_name | Q(pk=q) | has_masked_secret(q))
    if status is not None:
        rows = rows.filter(_has_status(KeyStatus(status)))
    if expires_within_days is not None:
        last = timezone.now() + timedelta(days=expires_within_days)
        rows = rows.filter(_has_status(KeyStatus.ACTIVE), expires_at__lte=last)
    if never_used is not None:
        rows = rows.filter(last_used_at__isnull=never_used)
    if unused_since is not None:
        rows = rows.filter(Q(last_used_at__lt=unused_since) | Q(last_used_at__isnull=True, created_at__lt=unused_since))
    return rows


class KeyList:
    """The keys of a tenant, or of one of its agents, that match the filters of `filter_keys`; newest first."""

    def __init__(self, actor: Actor, *, tenant_id: str, agent_id: str | None = None, **filters: Any) -> None:
        self._actor, self._filters = actor, filters
        self._tenant_id, self._agent_id = tenant_id, agent_id

    def __getitem__(self, part: slice) -> Sequence[ApiKey]:
        """Return a slice of the keys with their secrets."""
        if self._filters or part.start >= NEAR:
            return self._rows[part]
        return read_newest_keys(self._actor, part, tenant_id=self._tenant_id, agent_id=self._agent_id)

    def after(self, cursor: str) -> LargeList[ApiKey]:
        """Return the keys whose ids are greater than this one, ordered by id."""
        return self._rows.after(cursor)

    def count(self) -> int:
        """Return the number of keys. They are counted row by row only with filters other than the status."""
        if self._filters.keys() <= {"status"}:
            return self._total(self._filters.get("status"))
        return self._rows.count()

    @cached_property
    def _rows(self) -> LargeList[ApiKey]:
        keys = keys_for(self._actor)
        return LargeList(filter_keys(keys, tenant_id=self._tenant_id, agent_id=self._agent_id, **self._filters))

    def _total(self, status: str | None) -> int:
        """Return how many keys show this status. Those that are past their time are stored as active."""
        stored = counts.total(Kind.KEYS, [self._tenant_id], agent_id=self._agent_id or "", status=status)
        if status not in (KeyStatus.ACTIVE, KeyStatus.EXPIRED):
            return stored
        rows = ApiKey.objects.in_tenants([self._tenant_id])
        rows = rows.filter(status=KeyStatus.ACTIVE, expires_at__lte=timezone.now())
        if self._agent_id is not None:
            rows = rows.filter(agent_id=self._agent_id)
        return stored + rows.count() if status == KeyStatus.EXPIRED else stored - rows.count()


def has_masked_secret(text: str) -> Q:
    """Return the condition for keys one of whose secrets is shown as this text when it is masked."""
    hint = keyformat.hint_in(text)
    return Q(pk__in=KeySecret.objects.filter(hint=hint).values("key")) if hint else Q(pk__in=[])


def _has_status(status: KeyStatus) -> Q:
    """Return the condition for keys that show this status: an active key past its time shows `expired`."""
    over = Q(expires_at__isnull=False, expires_at__lte=timezone.now())
    if status == KeyStatus.ACTIVE:
        return Q(status=KeyStatus.ACTIVE) & ~over
    if status == KeyStatus.EXPIRED:
        return Q(status=KeyStatus.EXPIRED) | (Q(status=KeyStatus.ACTIVE) & over)
    return Q(status=status)
