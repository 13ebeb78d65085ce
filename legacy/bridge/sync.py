"""The synchronization of the old tables with maim: objects are written, and deleted ones are removed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from legacy.bridge.database import Action, LegacyDatabase, WriteRefused
from legacy.bridge.mirrors import AgentMirror, KeyMirror, Mirror, Plan, PluginMirror, TenantMirror, setting_row_id
from legacy.bridge.state import BridgeState

log = logging.getLogger("maim.bridge")

BATCH = 100
_COMPARISON_BATCH = 25  # small, because changes wait while a comparison makes a step
_MAIN_TABLES = {"tenants", "agents", "api_keys", "plugin_settings"}
_MAX_LOGGED_REFUSALS = 50


class Refusals:
    """The objects that the old database refuses. They are tried again until it accepts them."""

    def __init__(self) -> None:
        self._reasons = dict[tuple[str, str], str]()

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, kind: str, object_id: str, reason: str) -> None:
        """Add a refused object. Log it unless it was logged with this reason before."""
        if self._reasons.get((kind, object_id)) != reason and len(self._reasons) < _MAX_LOGGED_REFUSALS:
            log.error("the old database refuses %s %s: %s", kind, object_id, reason)
        self._reasons[kind, object_id] = reason

    def discard(self, kind: str, object_ids: Iterable[str]) -> None:
        for object_id in object_ids:
            self._reasons.pop((kind, object_id), None)

    def object_ids(self, kind: str) -> list[str]:
        return [object_id for refused_kind, object_id in self._reasons if refused_kind == kind]


class Sync:
    """The synchronization while the old database is open. `counts` has objects by kind and outcome."""

    def __init__(
        self,
        database: LegacyDatabase,
        state: BridgeState,
        refusals: Refusals,
        *,
        with_secrets: bool,
        is_dry: bool = False,
    ) -> None:
        self._database, self._state, self._refusals, self._is_dry = database, state, refusals, is_dry
        self.tenants = TenantMirror(with_secrets=with_secrets)
        self.agents = AgentMirror(with_secrets=with_secrets)
        self.keys = KeyMirror(with_secrets=with_secrets)
        self.plugins = PluginMirror(with_secrets=with_secrets)
        # In the order in which one refers to another.
        self.mirrors: tuple[Mirror, ...] = (self.tenants, self.agents, self.keys, self.plugins)
        self.counts: Counter[tuple[str, str]] = Counter()

    def compare_all(self) -> Iterator[None]:
        """Synchronize all objects, one batch for each step of the iterator. Raise DatabaseUnavailable."""
        for mirror in self.mirrors:
            for page in mirror.id_pages():
                yield from self._sync_in_batches(mirror, page, size=_COMPARISON_BATCH)
        for mirror in reversed(self.mirrors):
            for page in self._state.known_id_pages(mirror.name):
                existing = mirror.existing_ids(page)  # was synchronized above
                deleted = [object_id for object_id in page if object_id not in existing]
                yield from self._sync_in_batches(mirror, deleted, size=_COMPARISON_BATCH, with_contents=False)
                yield

    def sync_objects(self, mirror: Mirror, object_ids: Iterable[str]) -> None:
        """Synchronize some objects. The contents of deleted ones are removed, too. Raise DatabaseUnavailable."""
        for _step in self._sync_in_batches(mirror, list(dict.fromkeys(object_ids))):
            pass

    def retry_refused(self) -> None:
        """Synchronize the objects that the old database has refused. Raise DatabaseUnavailable."""
        for mirror in self.mirrors:
            self.sync_objects(mirror, self._refusals.object_ids(mirror.name))

    def _sync_in_batches(
        self, mirror: Mirror, object_ids: Sequence[str], *, size: int = BATCH, with_contents: bool = True
    ) -> Iterator[None]:
        for start in range(0, len(object_ids), size):
            self._sync_batch(mirror, object_ids[start : start + size], with_contents=with_contents)
            yield

    def _sync_batch(self, mirror: Mirror, object_ids: Sequence[str], *, with_contents: bool) -> None:
        plans = mirror.plan(self._database, object_ids)
        existing, deleted = [plan for plan in plans if plan.exists], [plan for plan in plans if not plan.exists]
        known_ids = self._state.known_ids(mirror.name, [plan.object_id for plan in deleted]) if deleted else set()
        deleted = [plan for plan in deleted if plan.object_id in known_ids]
        if with_contents:
            self._remove_contents(mirror, [plan.object_id for plan in deleted if plan.writes])
        self._state.record(mirror.name, [plan.object_id for plan in existing])
        self.counts[mirror.name, "compared"] += len(existing)
        pending = [plan for plan in (*deleted, *existing) if plan.writes]
        self._refusals.discard(mirror.name, {plan.object_id for plan in plans} - {plan.object_id for plan in pending})
        self._apply(mirror, pending)
        refused = set(self._refusals.object_ids(mirror.name))
        self._state.delete(mirror.name, {plan.object_id for plan in deleted} - refused)

    def _remove_contents(self, mirror: Mirror, owner_ids: Collection[str]) -> None:
        """Remove the contents of tenants or agents that maim has deleted. No change names each of them."""
        if not owner_ids or mirror not in (self.tenants, self.agents):
            return
        column = "tenant_id" if mirror is self.tenants else "agent_id"
        settings = self._database.select("plugin_settings", column, owner_ids)
        self.sync_objects(self.plugins, [setting_row_id(row) for row in settings])
        self.sync_objects(self.keys, [row["id"] for row in self._database.select("api_keys", column, owner_ids)])
        if mirror is self.tenants:
            self.sync_objects(self.agents, [row["id"] for row in self._database.select("agents", column, owner_ids)])

    def _apply(self, mirror: Mirror, plans: Sequence[Plan]) -> None:
        if not plans:
            return
        if not self._is_dry:
            try:
                self._database.write([write for plan in plans for write in plan.writes])
            except WriteRefused:
                plans = [plan for plan in plans if self._apply_one(mirror, plan)]
        self._refusals.discard(mirror.name, [plan.object_id for plan in plans])
        for plan in plans:
            self.counts[mirror.name, _outcome(plan)] += 1

    def _apply_one(self, mirror: Mirror, plan: Plan) -> bool:
        """Write one object by itself, so that a refused one does not stop others. Return whether it was written."""
        reason = ""
        for candidate in (plan, mirror.fallback(plan)):
            if candidate is None:
                break
            try:
                self._database.write(candidate.writes)
            except WriteRefused as error:
                reason = reason or str(error)
            else:
                return True
        self._refusals.add(mirror.name, plan.object_id, reason)
        self.counts[mirror.name, "refused"] += 1
        return False


def _outcome(plan: Plan) -> str:
    if not plan.exists:
        return "deleted"
    is_new = any(write.action == Action.INSERT and write.table in _MAIN_TABLES for write in plan.writes)
    return "inserted" if is_new else "updated"
