"""The deletions of the admin that touch much: what they touch, and their bulk operations (core.admin_deletion)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.utils.translation import gettext

from core.actor import Actor
from core.admin_deletion import Touched
from operations import services
from operations.models import BulkOperation
from operations.preview import Preview, preview, preview_tenants
from operations.selections import Kind, Selection


class _Tenants:
    """The deletion of tenants with all that is in them. There is no such bulk operation."""

    def touched(self, ids: Sequence[str]) -> Touched:
        found = preview_tenants(ids)
        return _touched(found, found.objects + found.agents + found.keys)

    def start(self, actor: Actor, ids: Sequence[str]) -> BulkOperation | None:
        return None


class _Selected(NamedTuple):
    """The deletion of agents, with their keys, or of keys."""

    kind: Kind

    def touched(self, ids: Sequence[str]) -> Touched:
        found = preview(Selection(self.kind, ids=tuple(ids)))
        return _touched(found, found.keys + (found.agents if self.kind == Kind.DELETE_AGENTS else 0))

    def start(self, actor: Actor, ids: Sequence[str]) -> BulkOperation | None:
        # The number of all that goes was typed, which is more than that of the selection.
        return services.start(actor=actor, selection=Selection(self.kind, ids=tuple(ids)), typed=len(ids))


DELETIONS = {
    "tenants.Tenant": _Tenants(),
    "agents.Agent": _Selected(Kind.DELETE_AGENTS),
    "apikeys.ApiKey": _Selected(Kind.DELETE_KEYS),
}


def _touched(found: Preview, objects: int) -> Touched:
    calls = gettext("Calls of the last hour") if found.calls_are_of_last_hour else gettext("Calls of today (UTC)")
    numbers = {gettext("Agents"): found.agents, gettext("API keys"): found.keys, calls: found.calls}
    return Touched(objects, numbers, is_large=objects > services.TYPED_BEYOND)
