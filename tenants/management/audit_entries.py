"""Audit entries on the command line: which ones are meant, and how they are shown."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Max, Min, QuerySet

from core.actor import ActorKind
from core.commands.formatting import time_text
from core.commands.options import parse_time
from core.http.responses import utc_text
from core.listing import in_period, newest_with
from core.models import AuditEntry
from tenants.management.lookup import TenantLookup

HEADER = ["ID", "TIME", "ACTOR", "ACTION", "OBJECT", "TENANT", "CHANGED"]
_SLICE = 1000


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the filters of `list` and `export`."""
    parser.add_argument("--tenant", metavar="TENANT", help="id or name; the id also of one that was deleted")
    parser.add_argument("--user", metavar="USER", help="who acted: id, name or e-mail address")
    parser.add_argument("--kind", choices=[kind.value for kind in ActorKind], help="how they acted")
    parser.add_argument("--action", metavar="ACTION", help="such as key.rotate")
    parser.add_argument("--object", metavar="ID", help="what was changed")
    parser.add_argument("--request", metavar="ID", help="the request that changed it")
    parser.add_argument("--since", type=parse_time, metavar="TIME", help="such as 2026-01-31T12:00:00Z")
    parser.add_argument("--until", type=parse_time, metavar="TIME", help="without this moment itself")


def filter_entries(options: Mapping[str, Any], lookup: TenantLookup) -> QuerySet[AuditEntry]:
    """Return the entries that match every filter given, newest first. Raise CommandError for an unknown name."""
    rows = newest_with(
        AuditEntry.objects.all(),
        object_id=options["object"],
        request_id=options["request"],
        tenant_id=None if options["tenant"] is None else lookup.tenant_id(options["tenant"]),
        actor_id=None if options["user"] is None else lookup.user_id(options["user"]),
        action=options["action"],
        actor_kind=options["kind"],
    )
    return in_period(rows, AuditEntry.objects.all(), "at", options["since"], options["until"])


def chosen_filters(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given options of `add_filters`, by which `filter_entries` filters."""
    names = ("tenant", "user", "kind", "action", "object", "request", "since", "until")
    return {name: options[name] for name in names if options[name] is not None}


def bounds(rows: QuerySet[AuditEntry]) -> tuple[int, int]:
    """Return the first and the last id of the entries, or 1 and 0 if there are none."""
    found = rows.order_by().aggregate(first=Min("id"), last=Max("id"))
    return (1, 0) if found["first"] is None else (found["first"], found["last"])


def oldest_first(rows: QuerySet[AuditEntry], first: int, last: int) -> Iterator[AuditEntry]:
    """Yield the entries between two ids, slice by slice, so that a log of any length needs little memory."""
    while first <= last:
        found = list(rows.filter(id__range=(first, last)).order_by("id")[:_SLICE])
        yield from found
        first = found[-1].pk + 1 if len(found) == _SLICE else last + 1


def row(entry: AuditEntry) -> Sequence[Any]:
    """Return an entry's cells under HEADER."""
    changed = ", ".join(name for name, _before, _after in changes(entry))
    return [
        entry.pk,
        time_text(entry.at),
        entry.actor,
        entry.action,
        entry.object_id,
        entry.tenant_id,
        changed if entry.before and entry.after else None,
    ]


def members(entry: AuditEntry) -> list[tuple[str, Any]]:
    """Return an entry, without what changed, for a record."""
    return [
        ("id", entry.pk),
        ("time", utc_text(entry.at)),
        ("actor", f"{entry.actor} ({entry.actor_kind})"),
        ("actor id", entry.actor_id),
        ("address", entry.address),
        ("access token", entry.token_id),
        ("action", entry.action),
        ("object", entry.object_id),
        ("tenant", entry.tenant_id),
        ("request", entry.request_id),
    ]


def changes(entry: AuditEntry) -> list[tuple[str, str | None, str | None]]:
    """Return the fields that changed, each with its JSON before and after."""
    before, after = entry.before or {}, entry.after or {}
    names = dict.fromkeys([*before, *after])
    return [(name, _json(before, name), _json(after, name)) for name in names if before.get(name) != after.get(name)]


def _json(values: Mapping[str, Any], name: str) -> str | None:
    return json.dumps(values[name], ensure_ascii=False) if name in values else None
