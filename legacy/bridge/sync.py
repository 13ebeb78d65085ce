"""Bringing objects of maim into the old tables, and removing there what was deleted here."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from legacy.bridge.mirrors import Agents, Keys, Mirror, Plan, Plugins, Tenants, row_id
from legacy.bridge.records import Records
from legacy.bridge.target import Action, Refused, Target

log = logging.getLogger("maim.bridge")

BATCH = 100
_COMPARED = 25  # objects in a step of a comparison, for which changes wait
_MAIN_TABLES = {"tenants", "agents", "api_keys", "plugin_settings"}
_SHOWN_REFUSALS = 50


class Refusals:
    """The objects that the old database does not take; it is asked again until it does."""

    def __init__(self) -> None:
        self._reasons = dict[tuple[str, str], str]()

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, kind: str, object_id: str, reason: str) -> None:
        """Note one, and log it, unless that was done before."""
        if self._reasons.get((kind, object_id)) != reason and len(self._reasons) < _SHOWN_REFUSALS:
            log.error("the old database does not take %s %s: %s", kind, object_id, reason)
        self._reasons[kind, object_id] = reason

    def discard(self, kind: str, object_ids: Iterable[str]) -> None:
        for object_id in object_ids:
            self._reasons.pop((kind, object_id), None)

    def of(self, kind: str) -> list[str]:
        return [object_id for other, object_id in self._reasons if other == kind]


class Sync:
    """The work of a bridge while the old database is open. `done` counts objects by kind and what became of them."""

    def __init__(
        self, target: Target, records: Records, refusals: Refusals, *, with_secrets: bool, is_dry: bool = False
    ) -> None:
        self._target, self._records, self._refusals, self._is_dry = target, records, refusals, is_dry
        self.tenants, self.agents, self.keys, self.plugins = (
            kind(with_secrets=with_secrets) for kind in (Tenants, Agents, Keys, Plugins)
        )
        # In the order in which one needs the other.
        self.mirrors: tuple[Mirror, ...] = (self.tenants, self.agents, self.keys, self.plugins)
        self.done: Counter[tuple[str, str]] = Counter()

    def everything(self) -> Iterator[None]:
        """Compare all objects, a batch at a step. Raise Unavailable."""
        for mirror in self.mirrors:
            for page in mirror.pages():
                yield from self._steps(mirror, page, size=_COMPARED)
        for mirror in reversed(self.mirrors):
            for page in self._records.pages(mirror.name):
                here = mirror.here(page)  # and was compared above
                gone = [object_id for object_id in page if object_id not in here]
                yield from self._steps(mirror, gone, size=_COMPARED, is_last=True)
                yield

    def objects(self, mirror: Mirror, object_ids: Iterable[str]) -> None:
        """Compare some objects, which may be deleted by now: then what they held there goes, too. Raise Unavailable."""
        for _step in self._steps(mirror, list(dict.fromkeys(object_ids))):
            pass

    def refused(self) -> None:
        """Try again what the old database did not take. Raise Unavailable."""
        for mirror in self.mirrors:
            self.objects(mirror, self._refusals.of(mirror.name))

    def _steps(
        self, mirror: Mirror, object_ids: Sequence[str], *, size: int = BATCH, is_last: bool = False
    ) -> Iterator[None]:
        for start in range(0, len(object_ids), size):
            self._batch(mirror, object_ids[start : start + size], is_last=is_last)
            yield

    def _batch(self, mirror: Mirror, object_ids: Sequence[str], *, is_last: bool) -> None:
        """Compare some objects. With `is_last` what they held is not looked for, since all of it was compared."""
        plans = mirror.plans(self._target, object_ids)
        here, gone = [plan for plan in plans if plan.is_here], [plan for plan in plans if not plan.is_here]
        known = self._records.known(mirror.name, [plan.object_id for plan in gone]) if gone else set()
        gone = [plan for plan in gone if plan.object_id in known]
        if not is_last:
            self._remove_held(mirror, [plan.object_id for plan in gone if plan.writes])
        self._records.remember(mirror.name, [plan.object_id for plan in here])
        self.done[mirror.name, "compared"] += len(here)
        due = [plan for plan in (*gone, *here) if plan.writes]
        self._refusals.discard(mirror.name, {plan.object_id for plan in plans} - {plan.object_id for plan in due})
        self._apply(mirror, due)
        self._records.forget(mirror.name, {plan.object_id for plan in gone} - set(self._refusals.of(mirror.name)))

    def _remove_held(self, mirror: Mirror, owners: Collection[str]) -> None:
        """Remove there what tenants or agents held that were deleted here; it went with them, unseen."""
        if not owners or mirror not in (self.tenants, self.agents):
            return
        column = "tenant_id" if mirror is self.tenants else "agent_id"
        settings = self._target.rows("plugin_settings", column, owners)
        self.objects(self.plugins, [row_id(row) for row in settings])
        self.objects(self.keys, [row["id"] for row in self._target.rows("api_keys", column, owners)])
        if mirror is self.tenants:
            self.objects(self.agents, [row["id"] for row in self._target.rows("agents", column, owners)])

    def _apply(self, mirror: Mirror, plans: Sequence[Plan]) -> None:
        if not plans:
            return
        if not self._is_dry:
            try:
                self._target.apply([write for plan in plans for write in plan.writes])
            except Refused:
                plans = [plan for plan in plans if self._is_applied(mirror, plan)]
        self._refusals.discard(mirror.name, [plan.object_id for plan in plans])
        for plan in plans:
            self.done[mirror.name, _became(plan)] += 1

    def _is_applied(self, mirror: Mirror, plan: Plan) -> bool:
        """Write one object alone, so that others do not suffer from what is wrong with it."""
        reason = ""
        for each in (plan, mirror.alternative(plan)):
            if each is None:
                break
            try:
                self._target.apply(each.writes)
            except Refused as error:
                reason = reason or str(error)
            else:
                return True
        self._refusals.add(mirror.name, plan.object_id, reason)
        self.done[mirror.name, "refused"] += 1
        return False


def _became(plan: Plan) -> str:
    if not plan.is_here:
        return "deleted"
    is_new = any(write.action == Action.INSERT and write.table in _MAIN_TABLES for write in plan.writes)
    return "inserted" if is_new else "updated"
