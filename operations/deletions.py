"""The deletions of the admin with a large impact: that impact, and their bulk operations (core.admin_deletion)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.utils.translation import gettext

from core.actor import Actor
from core.admin_deletion import DeletionImpact
from operations import services
from operations.models import BulkOperation
from operations.preview import preview_selection
from operations.selections import Kind, Selection


class _BySelection(NamedTuple):
    """The deletion of tenants, agents or keys with what is in them, which is a bulk operation if it is large."""

    kind: Kind

    def impact(self, ids: Sequence[str]) -> DeletionImpact:
        preview = preview_selection(Selection(self.kind, ids=tuple(ids)))
        calls = gettext("Calls of the last hour") if preview.calls_are_of_last_hour else gettext("Calls of today (UTC)")
        counts = {gettext("Agents"): preview.agents, gettext("API keys"): preview.keys, calls: preview.calls}
        return DeletionImpact(preview.affected, counts, is_large=preview.has_to_be_typed)

    def start(self, actor: Actor, ids: Sequence[str], typed: int) -> BulkOperation:
        return services.start(actor=actor, selection=Selection(self.kind, ids=tuple(ids)), typed=typed)


DELETIONS = {
    "tenants.Tenant": _BySelection(Kind.DELETE_TENANTS),
    "agents.Agent": _BySelection(Kind.DELETE_AGENTS),
    "apikeys.ApiKey": _BySelection(Kind.DELETE_KEYS),
}
