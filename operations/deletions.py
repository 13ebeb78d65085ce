"""The deletions of the admin with a large impact: that impact, and their bulk operations (core.admin_deletion)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.utils.translation import gettext

from accounts.models import Identity, Invitation, PersonalToken, TokenSession
from accounts.services.methods import METHODS
from core.actor import Actor
from core.admin_deletion import DeletionImpact
from operations import services
from operations.models import BulkOperation, Kind
from operations.preview import TYPED_BEYOND, preview_selection
from operations.selections import Selection
from tenants.models import Membership, Tenant

# Owned tenants that the page lists at most, to say why their owners cannot be deleted.
_MAX_OWNED = 100


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


class _Users:
    """The deletion of users with what is theirs. It is refused for users who own tenants."""

    def impact(self, ids: Sequence[str]) -> DeletionImpact:
        factors = [method.rows for method in METHODS.values() if method.is_factor]
        counts = {
            gettext("Memberships"): Membership.objects.filter(user__in=ids).count(),
            gettext("Personal access tokens"): PersonalToken.objects.filter(user__in=ids).count(),
            gettext("Sessions"): TokenSession.objects.filter(user__in=ids).count(),
            gettext("Second factors"): sum(rows.filter(user__in=ids).count() for rows in factors),
            gettext("Linked identities"): Identity.objects.filter(user__in=ids).count(),
            gettext("Invitations that they have sent"): Invitation.objects.filter(inviter__in=ids).count(),
        }
        objects = len(ids) + sum(counts.values())
        owned = Tenant.objects.filter(owner__in=ids).order_by("created_at", "id")[:_MAX_OWNED]
        return DeletionImpact(objects, counts, is_large=objects > TYPED_BEYOND, protected=list(owned))

    def start(self, actor: Actor, ids: Sequence[str], typed: int) -> None:
        return None


DELETIONS = {
    "accounts.User": _Users(),
    "tenants.Tenant": _BySelection(Kind.DELETE_TENANTS),
    "agents.Agent": _BySelection(Kind.DELETE_AGENTS),
    "apikeys.ApiKey": _BySelection(Kind.DELETE_KEYS),
}
