"""The parts of a deleted tenant that are its own: its row and its members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core import counts
from core.errors import Conflict
from core.undo.parts import Kind, Part, Restoration, rename_taken
from core.undo.restoring import ExistsAgain
from tenants.models import Membership, Tenant


class OwnerGone(Conflict):
    message = _("The tenant cannot be restored: its owner has no account any more")


class Tenants(Part[Tenant]):
    """The tenant itself, if its owner still has an account, or it never had one."""

    model = Tenant
    columns = {Kind.TENANT: "pk"}

    def put_back(self, rows: Sequence[Tenant], restoration: Restoration) -> int:
        for row in rows:
            if Tenant.objects.filter(pk=row.pk).exists():
                raise ExistsAgain
            # Locked, so that the owner cannot close the account meanwhile.
            if row.owner_id and not User.objects.select_for_update().filter(pk=row.owner_id).exists():
                raise OwnerGone
            others = Tenant.objects.filter(owner_scope=row.owner_scope)
            rename_taken([row], restoration, among=others)
        counts.add(*rows)
        return super().put_back(rows, restoration)


class Memberships(Part[Membership]):
    """The members who still have an account."""

    model = Membership
    columns = {Kind.TENANT: "tenant_id"}

    def put_back(self, rows: Sequence[Membership], restoration: Restoration) -> int:
        users: Any = User.objects.select_for_update().filter(pk__in=[row.user_id for row in rows]).order_by("pk")
        there = set(users.values_list("pk", flat=True))
        return super().put_back([row for row in rows if row.user_id in there], restoration)
