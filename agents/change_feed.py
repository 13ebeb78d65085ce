"""Pages of the change feed, which tell bot processes the agents to read again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from core import change_feed, epoch
from core.errors import Gone, Invalid
from core.models import FeedEntry


class Cursor(NamedTuple):
    """A position in the feed: the last epoch, entry and agent that were read.

    `entry` is the last entry of `epoch`, None for all of its entries. `agent_id` is the last agent of that entry, which
    is a layer's and so stands for many agents; None for all of them.
    """

    epoch: int
    entry: int | None = None
    agent_id: str | None = None

    def __str__(self) -> str:
        return "-".join(str(part) for part in self if part is not None)

    @staticmethod
    def parse(text: str) -> Cursor:
        """Return the cursor that `str` wrote. Raise Invalid."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise Invalid({"after": [_("This is no cursor that was given out here")]})
        return Cursor(int(match["epoch"]), int(match["entry"]) if match["entry"] else None, match["agent"])


_CURSOR = re.compile(
    r"(?P<epoch>[0-9]{1,18})(-(?P<entry>[0-9]{1,18})(-(?P<agent>.{1,50}))?)?",
    re.DOTALL,  # imported ids are of any kind
)


class Page(NamedTuple):
    """Entries in order, the cursor after the last of them, and whether more entries follow."""

    items: list[dict[str, Any]]
    cursor: Cursor
    has_more: bool


def current_cursor() -> Cursor:
    """Return the cursor after the newest entry."""
    last = FeedEntry.objects.order_by("epoch", "pk").last()
    return Cursor(0) if last is None else Cursor(last.epoch, last.pk)


def read_page(cursor: Cursor, limit: int) -> Page:
    """Return up to `limit` entries after the cursor. Costs one query where there is nothing new.

    A change of a layer becomes an entry for each of its agents. An agent that changed several times may be listed
    once. Raise Gone for a cursor whose next entries were deleted, and for one that this feed has not given out, as
    after a backup was restored.
    """
    rows = _rows_after(cursor, limit + 1)
    found: list[str] = []
    for number, row in enumerate(rows):
        if len(found) >= limit:
            return Page(_entries(found), cursor, has_more=True)
        if row.kind in (FeedEntry.Kind.AGENT, FeedEntry.Kind.DELETED):
            found.append(row.subject)
        else:
            resumed = cursor.agent_id if number == 0 and cursor.entry == row.pk else None
            room = limit - len(found)
            ids = list(_agents_of(row, resumed).values_list("pk", flat=True)[: room + 1])
            found += ids[:room]
            if len(ids) > room:
                return Page(_entries(found), Cursor(row.epoch, row.pk, ids[room - 1]), has_more=True)
        cursor = Cursor(row.epoch, row.pk)
    return Page(_entries(found), cursor, has_more=len(rows) > limit)


def _rows_after(cursor: Cursor, limit: int) -> list[FeedEntry]:
    """Return up to `limit` rows after the cursor, its own row included if that has more agents. Raise Gone."""
    if cursor.entry is None:  # given out by earlier versions, or the beginning of the feed
        rows = list(FeedEntry.objects.filter(epoch__gt=cursor.epoch).order_by("epoch", "pk")[:limit])
        is_known = bool(rows) or not cursor.epoch or cursor.epoch <= epoch.current()
    else:
        # Starts at the cursor's own row, which proves that this feed has given the cursor out.
        where = Q(epoch__gt=cursor.epoch) | Q(epoch=cursor.epoch, pk__gte=cursor.entry)
        rows = list(FeedEntry.objects.filter(where, epoch__gte=cursor.epoch).order_by("epoch", "pk")[: limit + 1])
        is_known = bool(rows) and cursor.entry in (rows[0].pk, change_feed.last_truncated(rows[0]))
        if is_known and cursor.agent_id is None:
            del rows[0]
    if any(row.kind == FeedEntry.Kind.TRUNCATED for row in rows):
        raise Gone(_("This cursor is too old; read all agents again, and go on from a new cursor"))
    if not is_known:
        raise Gone(_("The feed does not go as far as this cursor; read all agents again, and go on from a new cursor"))
    return rows[:limit]


def _agents_of(row: FeedEntry, after_id: str | None) -> QuerySet[Agent]:
    agents = Agent.unscoped.all() if row.tenant_id is None else Agent.objects.in_tenants([row.tenant_id])
    if row.kind == FeedEntry.Kind.TEMPLATE:
        agents = agents.filter(template_id=row.subject)
    if after_id is not None:
        agents = agents.filter(pk__gt=after_id)
    return agents.order_by("pk")


def _entries(agent_ids: list[str]) -> list[dict[str, Any]]:
    """Return the entries of a page in their current state, each agent once, at the position of its last change."""
    if not agent_ids:
        return []
    unique_ids = list(reversed(dict.fromkeys(reversed(agent_ids))))
    rows = Agent.unscoped.filter(pk__in=unique_ids).values("pk", "tenant_id", "config_version", "status")
    known = {row["pk"]: row for row in rows}
    return [_entry(agent_id, known.get(agent_id)) for agent_id in unique_ids]


def _entry(agent_id: str, agent: Mapping[str, Any] | None) -> dict[str, Any]:
    if agent is None:
        return {"agent_id": agent_id, "tenant_id": None, "deleted": True, "status": None, "config_version": None}
    return {
        "agent_id": agent_id,
        "tenant_id": agent["tenant_id"],
        "deleted": False,
        "status": agent["status"],
        "config_version": agent["config_version"],
    }
