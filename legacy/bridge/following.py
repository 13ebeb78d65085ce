"""A bridge while both databases answer: what is new is brought over, and everything is compared now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from django.utils import timezone

from agents import change_feed
from agents.change_feed import Cursor
from core.errors import Gone
from legacy.bridge import news
from legacy.bridge.heartbeats import Heartbeats
from legacy.bridge.news import AuditTrail
from legacy.bridge.records import Records
from legacy.bridge.sync import Refusals, Sync
from legacy.bridge.target import Target
from legacy.sources import Source

FEED_SECONDS = 0.5
_AUDIT_SECONDS = 2
_HEARTBEAT_SECONDS = 5
_COUNTS_SECONDS = 60
_COMPARISON_SECONDS = 3600
_SAVE_SECONDS = 10
# Of more news than of this time it is quicker to compare everything.
_MOST_NEWS = timedelta(hours=1)
_ENDED = object()


class Following:
    """A bridge from the start of a connection, which begins with a full comparison.

    A comparison is made in steps, and news is brought between them, so that it delays no change. How far the bridge
    has come is written down afterwards: one that was killed looks at some changes again, and finds them there.
    """

    _cursor: Cursor

    def __init__(self, source: Source, target: Target, *, with_secrets: bool) -> None:
        self._target, self._records, self._refusals = target, Records(source), Refusals()
        self._sync = Sync(target, self._records, self._refusals, with_secrets=with_secrets)
        self._heartbeats = Heartbeats()
        self._feed, self._audit = _Timer(FEED_SECONDS), _Timer(_AUDIT_SECONDS)
        self._beats, self._counts = _Timer(_HEARTBEAT_SECONDS), _Timer(_COUNTS_SECONDS)
        self._comparisons, self._saves = _Timer(_COMPARISON_SECONDS), _Timer(_SAVE_SECONDS)
        self._bridge = self._records.bridge()
        self._comparison: Iterator[None] | None = None
        self._compared_since = now = timezone.now()
        since = self._bridge.current_at
        if since is None or now - since > _MOST_NEWS:
            since = now
            self._begin_anew()
        else:
            self._resume()
        self._trail, self._counted_at = AuditTrail(since), since

    def step(self) -> bool:
        """Bring over what is new, and compare a little; return whether there is more to do at once.

        Raise Unavailable, and what Django raises where maim's database does not answer.
        """
        done = self._sync.done.total()
        has_more = self._feed.is_due() and self._bring_agents()
        if has_more:
            self._feed.make_due()
        if self._audit.is_due():
            self._bring_all_else()
        if self._beats.is_due():
            self._heartbeats.take(self._target)
        if self._counts.is_due():
            self._bring_counts()
        has_ended = self._compare()
        if has_ended or self._sync.done.total() > done or self._saves.is_due():
            self._save()
        return has_more or self._comparison is not None

    def _bring_agents(self) -> bool:
        try:
            agents, self._cursor, has_more = news.agents_after(self._cursor)
        except Gone:
            self._begin_anew()
            return False
        self._sync.objects(self._sync.agents, agents)
        return has_more

    def _bring_all_else(self) -> None:
        began = timezone.now()
        has_more = self._bring_agents()
        news.bring(self._trail.take(began), self._target, self._sync)
        if self._bridge.compared_at is not None and not has_more:
            self._bridge.current_at = began

    def _bring_counts(self) -> None:
        began = timezone.now()
        news.bring_counts(self._counted_at, self._sync)
        self._counted_at = began
        self._sync.refused()

    def _compare(self) -> bool:
        """Make one step of a comparison, where one is due or under way; return whether that was its end."""
        if self._comparison is None:
            if not self._comparisons.is_due():
                return False
            self._comparison, self._compared_since = self._sync.everything(), timezone.now()
        if next(self._comparison, _ENDED) is not _ENDED:
            return False
        self._comparison = None
        if self._bridge.compared_at is None:
            self._bridge.current_at = self._compared_since
        self._bridge.compared_at = timezone.now()
        return True

    def _resume(self) -> None:
        try:
            self._cursor = news.cursor_of(self._bridge.cursor)
        except Gone:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Go on from now. What was changed before is for a full comparison to find, and not brought until its end."""
        self._cursor, self._bridge.compared_at = change_feed.current_cursor(), None
        self._comparison = None
        self._comparisons.make_due()

    def _save(self) -> None:
        self._bridge.cursor, self._bridge.refused = str(self._cursor), len(self._refusals)
        self._records.save(self._bridge)


class _Timer:
    """Something that is due at once, and again after each interval."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, float("-inf")

    def is_due(self) -> bool:
        if time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True

    def make_due(self) -> None:
        self._last = float("-inf")


def compared_once(source: Source, target: Target, *, with_secrets: bool, is_dry: bool) -> Iterator[Sync]:
    """Compare everything once, a batch at a step, and take the heartbeats over. Raise Unavailable.

    With `is_dry` nothing is written on either side.
    """
    records, refusals = Records(source, is_dry=is_dry), Refusals()
    bridge, began = records.bridge(), timezone.now()
    bridge.cursor = str(change_feed.current_cursor())
    sync = Sync(target, records, refusals, with_secrets=with_secrets, is_dry=is_dry)
    for _step in sync.everything():
        yield sync
    if not is_dry:
        sync.done["heartbeats", "taken"] += Heartbeats().take(target)
    bridge.current_at, bridge.compared_at, bridge.refused = began, timezone.now(), len(refusals)
    records.save(bridge)
    yield sync
