"""What has changed here since a bridge last looked: agents by the feed, all else by the audit log.

The feed alone knows which agents a changed template or tenant concerns, and is read in the order of commits. The audit
log has every other change, deletions too, with an index by time, which the tables themselves do not have. Its rows are
seen when they are committed, which is later than their time: so each look begins a while before the last one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from agents import change_feed
from agents.change_feed import Cursor
from agents.models import PluginSetting
from apikeys.models import ApiKey
from core.errors import Gone, Invalid
from core.models import AuditEntry
from legacy.bridge.mirrors import row_id, rows_of, setting_id, settings_of
from legacy.bridge.sync import Sync
from legacy.bridge.target import Target

# A transaction takes no longer, and clocks of machines differ by less.
OVERLAP = timedelta(minutes=1)
PAGE = 200
CHANGES = ("tenant", "membership", "agent", "key", "plugin", "template")


def agents_after(cursor: Cursor) -> tuple[list[str], Cursor, bool]:
    """Return agents that have changed after the cursor, the next cursor, and whether there are more by now.

    Raise Gone for a cursor that is too old.
    """
    page = change_feed.read_page(cursor, PAGE)
    return [item["agent_id"] for item in page.items], page.cursor, page.has_more


def cursor_of(text: str) -> Cursor:
    """Return the cursor that was written down. Raise Gone if it is none."""
    try:
        return Cursor.parse(text)
    except Invalid as error:
        raise Gone("no cursor") from error


class Entry(NamedTuple):
    """What a bridge wants to know of an audit row."""

    id: int
    at: datetime
    object_type: str
    object_id: str
    action: str
    tenant_id: str | None


class AuditTrail:
    """The audit rows that were not looked at yet."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._seen = dict[int, datetime]()

    def take(self, until: datetime) -> dict[str, list[Entry]]:
        """Return the new rows by their type of object, and take them for seen; the next look is after `until`."""
        begin = self._since - OVERLAP
        rows = AuditEntry.objects.filter(at__gte=begin, object_type__in=CHANGES).order_by("pk")
        found = defaultdict[str, list[Entry]](list)
        for row in map(Entry._make, rows.values_list(*Entry._fields)):
            if row.id not in self._seen:
                found[row.object_type].append(row)
                self._seen[row.id] = row.at
        self._since = until
        self._seen = {pk: at for pk, at in self._seen.items() if at >= until - OVERLAP}
        return found


def bring(found: dict[str, list[Entry]], target: Target, sync: Sync) -> None:
    """Bring over what audit rows are about. Raise Unavailable."""
    members = [row.tenant_id for row in found["membership"] if row.tenant_id]
    sync.objects(sync.tenants, [*_ids(found["tenant"]), *members])
    sync.objects(sync.agents, _ids(found["agent"]))
    sync.objects(sync.keys, _ids(found["key"]))
    sync.objects(sync.plugins, _settings(found["plugin"], target))


def bring_counts(since: datetime, sync: Sync) -> None:
    """Bring over the counts of keys that were used since, which are no changes. Raise Unavailable."""
    used = ApiKey.unscoped.filter(last_used_at__gte=since - OVERLAP)
    sync.objects(sync.keys, used.values_list("pk", flat=True))


def _ids(rows: Collection[Entry]) -> list[str]:
    return [row.object_id for row in rows]


def _settings(rows: Collection[Entry], target: Target) -> list[str]:
    """One that was set is named by its row, those that came over or were removed by whose they are."""
    numbers = [row.object_id for row in rows if row.action == "plugin.set"]
    owners = {row.object_id for row in rows if row.action != "plugin.set"}
    settings = [*PluginSetting.unscoped.filter(pk__in=numbers), *(settings_of(owners) if owners else ())]
    removed = rows_of(target, owners) if owners else []
    return [*map(setting_id, settings), *map(row_id, removed)]
