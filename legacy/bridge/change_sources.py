"""The sources of changes in maim: the change feed for agents, and the audit log for everything else.

Only the feed knows which agents a changed template or tenant affects. It is read in the order of commits. The audit log
has every other change, including deletions, and an index by time, which the tables do not have. Its rows become visible
when they are committed, which is later than their time, so each read overlaps the one before.
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
from legacy.bridge.database import LegacyDatabase
from legacy.bridge.mirrors import setting_id, setting_row_id, setting_rows, settings_of
from legacy.bridge.sync import Sync

# Longer than any transaction, and than the difference of the clocks of two machines.
OVERLAP = timedelta(minutes=1)
PAGE = 200
OBJECT_TYPES = ("tenant", "membership", "agent", "key", "plugin", "template")


def read_changed_agents(cursor: Cursor) -> tuple[list[str], Cursor, bool]:
    """Return agents that have changed after the cursor, the next cursor, and whether there are more.

    Raise Gone for a cursor that is too old.
    """
    page = change_feed.read_page(cursor, PAGE)
    return [item["agent_id"] for item in page.items], page.cursor, page.has_more


def parse_cursor(text: str) -> Cursor:
    """Return a stored cursor. Raise Gone if it is malformed."""
    try:
        return Cursor.parse(text)
    except Invalid as error:
        raise Gone("no cursor") from error


class AuditRow(NamedTuple):
    """The columns of an audit row that a bridge needs."""

    id: int
    at: datetime
    object_type: str
    object_id: str
    action: str
    tenant_id: str | None


class AuditReader:
    """A reader of audit rows, which returns each of them once."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._seen = dict[int, datetime]()

    def read_new(self, now: datetime) -> dict[str, list[AuditRow]]:
        """Return the rows that were not returned before, by type of object. The next read starts at `now`."""
        entries = AuditEntry.objects.filter(at__gte=self._since - OVERLAP, object_type__in=OBJECT_TYPES).order_by("pk")
        new = defaultdict[str, list[AuditRow]](list)
        for row in map(AuditRow._make, entries.values_list(*AuditRow._fields)):
            if row.id not in self._seen:
                new[row.object_type].append(row)
                self._seen[row.id] = row.at
        self._since = now
        self._seen = {pk: at for pk, at in self._seen.items() if at >= now - OVERLAP}
        return new


def sync_audited_objects(audit_rows: dict[str, list[AuditRow]], database: LegacyDatabase, sync: Sync) -> None:
    """Synchronize the objects of audit rows. Raise DatabaseUnavailable."""
    tenants_of_members = [row.tenant_id for row in audit_rows["membership"] if row.tenant_id]
    sync.sync_objects(sync.tenants, [*_object_ids(audit_rows["tenant"]), *tenants_of_members])
    sync.sync_objects(sync.agents, _object_ids(audit_rows["agent"]))
    sync.sync_objects(sync.keys, _object_ids(audit_rows["key"]))
    sync.sync_objects(sync.plugins, _setting_ids(audit_rows["plugin"], database))


def sync_usage_counts(since: datetime, sync: Sync) -> None:
    """Synchronize keys that were used since, because uses are not in the audit log. Raise DatabaseUnavailable."""
    used = ApiKey.unscoped.filter(last_used_at__gte=since - OVERLAP)
    sync.sync_objects(sync.keys, used.values_list("pk", flat=True))


def _object_ids(audit_rows: Collection[AuditRow]) -> list[str]:
    return [row.object_id for row in audit_rows]


def _setting_ids(audit_rows: Collection[AuditRow], database: LegacyDatabase) -> list[str]:
    """Return the ids of plugin settings. `plugin.set` names the setting's row, other actions name its owner."""
    pks = [row.object_id for row in audit_rows if row.action == "plugin.set"]
    owner_ids = {row.object_id for row in audit_rows if row.action != "plugin.set"}
    settings = [*PluginSetting.unscoped.filter(pk__in=pks), *(settings_of(owner_ids) if owner_ids else ())]
    old_rows = setting_rows(database, owner_ids) if owner_ids else []
    return [*map(setting_id, settings), *map(setting_row_id, old_rows)]
