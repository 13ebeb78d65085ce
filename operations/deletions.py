"""The deletions of the admin with a large impact: that impact, and their bulk operations (core.admin_deletion)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.utils.translation import gettext

from core.actor import Actor
from core.admin_deletion import DeletionImpact
from operations import services
from operations.models import BulkOperation
from operations.preview import Preview, preview_selection, preview_tenants
from operations.selections import Kind, Selection


class _Tenants:
    """The deletion of tenants with all that is in them. There is no such bulk operation."""

    def impact(self, ids: Sequence[str]) -> DeletionImpact:
        preview = preview_tenants(ids)
        return _impact(preview, preview.objects + preview.agents + preview.keys)

    def start(self, actor: Actor, ids: Sequence[str]) -> BulkOperation | None:
        return None


class _Selected(NamedTuple):
    """The deletion of agents, with their keys, or of keys."""

    kind: Kind

    def impact(self, ids: Sequence[str]) -> DeletionImpact:
        preview = preview_selection(Selection(self.kind, ids=tuple(ids)))
        return _impact(preview, preview.keys + (preview.agents if self.kind == Kind.DELETE_AGENTS else 0))

    def start(self, actor: Actor, ids: Sequence[str]) -> BulkOperation | None:
        # The number of all that goes was typed, which is more than that of the selection.
        return services.start(actor=actor, selection=Selection(self.kind, ids=tuple(ids)), typed=len(ids))


DELETIONS = {
    "tenants.Tenant": _Tenants(),
    "agents.Agent": _Selected(Kind.DELETE_AGENTS),
    "apikeys.ApiKey": _Selected(Kind.DELETE_KEYS),
}


def _impact(preview: Preview, objects: int) -> DeletionImpact:
    calls = gettext("Calls of the last hour") if preview.calls_are_of_last_hour else gettext("Calls of today (UTC)")
    counts = {gettext("Agents"): preview.agents, gettext("API keys"): preview.keys, calls: preview.calls}
    return DeletionImpact(objects, counts, is_large=objects > services.TYPED_BEYOND)
