"""A bridge while both databases answer: it follows changes, and compares everything now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from django.utils import timezone

from agents import change_feed
from agents.change_feed import Cursor
from core.errors import Gone
from legacy.bridge import change_sources
from legacy.bridge.change_sources import AuditReader
from legacy.bridge.database import LegacyDatabase
from legacy.bridge.heartbeats import HeartbeatImporter
from legacy.bridge.state import BridgeState
from legacy.bridge.sync import Refusals, Sync
from legacy.sources import Source

FEED_SECONDS = 0.5
_AUDIT_SECONDS = 2
_HEARTBEAT_SECONDS = 5
_COUNTS_SECONDS = 60
_COMPARISON_SECONDS = 3600
_SAVE_SECONDS = 10
# After a longer interruption it is faster to compare everything than to follow the changes.
_MAX_INTERRUPTION = timedelta(hours=1)
_ENDED = object()


class Follower:
    """A bridge from the moment when the old database was opened. It starts with a full comparison.

    A comparison is made in steps, and changes are synchronized between the steps, so that it delays no change. The
    position is saved after a change was written. A bridge that was killed synchronizes some changes twice, which does
    no harm.
    """

    _cursor: Cursor

    def __init__(self, source: Source, database: LegacyDatabase, *, with_secrets: bool) -> None:
        self._database, self._state, self._refusals = database, BridgeState(source), Refusals()
        self._sync = Sync(database, self._state, self._refusals, with_secrets=with_secrets)
        self._heartbeats = HeartbeatImporter()
        self._feed_timer, self._audit_timer = _Timer(FEED_SECONDS), _Timer(_AUDIT_SECONDS)
        self._heartbeat_timer, self._counts_timer = _Timer(_HEARTBEAT_SECONDS), _Timer(_COUNTS_SECONDS)
        self._comparison_timer, self._save_timer = _Timer(_COMPARISON_SECONDS), _Timer(_SAVE_SECONDS)
        self._bridge = self._state.load()
        self._comparison: Iterator[None] | None = None
        self._comparison_started_at = now = timezone.now()
        since = self._bridge.current_at
        if since is None or now - since > _MAX_INTERRUPTION:
            since = now
            self._restart()
        else:
            self._resume()
        self._audit, self._counted_at = AuditReader(since), since

    def step(self) -> bool:
        """Synchronize new changes and a step of the comparison. Return whether there is more to do at once.

        Raise DatabaseUnavailable, and Django's errors if maim's database does not answer.
        """
        objects_before = self._sync.counts.total()
        has_more = self._feed_timer.is_due() and self._sync_agents()
        if has_more:
            self._feed_timer.make_due()
        if self._audit_timer.is_due():
            self._sync_audited_objects()
        if self._heartbeat_timer.is_due():
            self._heartbeats.import_new(self._database)
        if self._counts_timer.is_due():
            self._sync_counts()
        has_ended = self._step_comparison()
        if has_ended or self._sync.counts.total() > objects_before or self._save_timer.is_due():
            self._save()
        return has_more or self._comparison is not None

    def _sync_agents(self) -> bool:
        try:
            agents, self._cursor, has_more = change_sources.read_changed_agents(self._cursor)
        except Gone:
            self._restart()
            return False
        self._sync.sync_objects(self._sync.agents, agents)
        return has_more

    def _sync_audited_objects(self) -> None:
        started_at = timezone.now()
        has_more = self._sync_agents()
        change_sources.sync_audited_objects(self._audit.read_new(started_at), self._database, self._sync)
        if self._bridge.compared_at is not None and not has_more:
            self._bridge.current_at = started_at

    def _sync_counts(self) -> None:
        started_at = timezone.now()
        change_sources.sync_usage_counts(self._counted_at, self._sync)
        self._counted_at = started_at
        self._sync.retry_refused()

    def _step_comparison(self) -> bool:
        """Make a step of the comparison that is due or running. Return whether it has ended."""
        if self._comparison is None:
            if not self._comparison_timer.is_due():
                return False
            self._comparison, self._comparison_started_at = self._sync.compare_all(), timezone.now()
        if next(self._comparison, _ENDED) is not _ENDED:
            return False
        self._comparison = None
        if self._bridge.compared_at is None:
            self._bridge.current_at = self._comparison_started_at
        self._bridge.compared_at = timezone.now()
        return True

    def _resume(self) -> None:
        try:
            self._cursor = change_sources.parse_cursor(self._bridge.cursor)
        except Gone:
            self._restart()

    def _restart(self) -> None:
        """Follow changes from now on. Earlier ones are missing until a full comparison has ended."""
        self._cursor, self._bridge.compared_at = change_feed.current_cursor(), None
        self._comparison = None
        self._comparison_timer.make_due()

    def _save(self) -> None:
        self._bridge.cursor, self._bridge.refused = str(self._cursor), len(self._refusals)
        self._state.save(self._bridge)


class _Timer:
    """A timer that is due at once, and again after each interval."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, float("-inf")

    def is_due(self) -> bool:
        """Return whether the interval has passed, and start the next one if so."""
        if time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True

    def make_due(self) -> None:
        self._last = float("-inf")


def compare_once(source: Source, database: LegacyDatabase, *, with_secrets: bool, is_dry: bool) -> Iterator[Sync]:
    """Compare everything once, a batch for each step, and import heartbeats. Raise DatabaseUnavailable.

    A dry run writes into neither database.
    """
    state, refusals = BridgeState(source, is_dry=is_dry), Refusals()
    bridge, started_at = state.load(), timezone.now()
    bridge.cursor = str(change_feed.current_cursor())
    sync = Sync(database, state, refusals, with_secrets=with_secrets, is_dry=is_dry)
    for _step in sync.compare_all():
        yield sync
    if not is_dry:
        sync.counts["heartbeats", "imported"] += HeartbeatImporter().import_new(database)
    bridge.current_at, bridge.compared_at, bridge.refused = started_at, timezone.now(), len(refusals)
    state.save(bridge)
    yield sync
