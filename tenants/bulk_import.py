"""Bulk import of tenants from another system."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django.conf import settings

from accounts import services as accounts
from accounts.models import User
from agent_config.document import agent_defaults
from agent_config.updates import apply_tenant_update
from core import audit, change_feed, counts, epoch
from core.actor import Actor
from core.audit import AuditChange
from core.db import RowUpdate, bulk_overwrite, transactional_and_propagated
from core.models import FeedEntry
from core.revisions import raise_revisions
from tenants.fields import TENANT_FIELDS
from tenants.models import Membership, Role, Tenant
from tenants.services import set_revision

IMPORTED_FIELDS = (
    "tenant_name", "name_folded", "owner_id", "owner_scope", "tenant_type", "description", "contact_email",
    "tenant_config", "status", "created_at", "updated_at",
)  # fmt: skip


@transactional_and_propagated
def import_tenants(*, actor: Actor, new: Sequence[Tenant], changed: Sequence[RowUpdate[Tenant]]) -> None:
    """Insert the new tenants, whose names are distinct, and update the changed ones. Make the owners members.

    Seal the secrets in their configs.
    """
    before = [(TENANT_FIELDS.audit_state(stored), stored.tenant_config, stored.owner_id) for stored, _wanted in changed]
    for stored, wanted in changed:
        wanted.tenant_config, _warnings = apply_tenant_update(
            stored.tenant_config, wanted.tenant_config, may_move_secrets=True
        )
    raise_revisions([stored for stored, _wanted in changed])
    bulk_overwrite(changed, IMPORTED_FIELDS, unique=[["name_folded", "owner_scope"]])
    for tenant in new:
        tenant.tenant_config, _warnings = apply_tenant_update(None, tenant.tenant_config)
    Tenant.objects.bulk_create(new, batch_size=500)  # after updating: a new row may reuse a name that an update freed
    counts.add(*new)
    recorded = [AuditChange(tenant.id, tenant.id, after=TENANT_FIELDS.audit_state(tenant)) for tenant in new]
    for (stored, _wanted), (was, config, owner_id) in zip(changed, before, strict=True):
        has_new_defaults = audit.differ(agent_defaults(config), agent_defaults(stored.tenant_config))
        if has_new_defaults:
            epoch.on_epoch(partial(set_revision, stored))
        if has_new_defaults or stored.status != was["status"]:
            change_feed.publish(FeedEntry.Kind.TENANT, [stored.id], tenant_id=stored.id)
        epoch.invalidate(stored.id)
        if stored.owner_id != owner_id:
            Membership.objects.filter(tenant=stored, user_id=owner_id).delete()
            if owner_id is not None:
                accounts.end_tokens_in(actor, tenant_id=stored.id, user_id=owner_id)
        recorded.append(AuditChange(stored.id, stored.id, was, TENANT_FIELDS.audit_state(stored)))
    _make_owners([*new, *(stored for stored, _wanted in changed)])
    audit.record_all(actor=actor, action="tenant.import", changes=recorded)


@transactional_and_propagated
def give_to_owners(*, actor: Actor, user_ids: Sequence[str]) -> None:
    """Make users the owners of the tenants that were created under their ids before the users came."""
    tenants = list(Tenant.objects.select_for_update().filter(owner__isnull=True, owner_scope__in=user_ids))
    for tenant in tenants:
        tenant.owner_id = tenant.owner_scope
    Tenant.objects.bulk_update(tenants, ["owner_id"], batch_size=500)
    if settings.KEYS_OFF_WITH_OWNER and tenants:
        epoch.invalidate(*(tenant.id for tenant in tenants))
    _make_owners(tenants)
    usernames = dict(User.objects.filter(pk__in=user_ids).values_list("pk", "username"))
    owners = [
        AuditChange(
            row.id, row.id, after={"user": row.owner_id, "username": usernames.get(row.owner_id), "role": Role.OWNER}
        )
        for row in tenants
    ]
    audit.record_all(actor=actor, action="membership.set", changes=owners)


def _make_owners(tenants: Sequence[Tenant]) -> None:
    memberships = {
        (row.tenant_id, row.user_id): row
        for row in Membership.objects.filter(tenant__in=[tenant.pk for tenant in tenants])
    }
    missing = []
    for tenant in tenants:
        if tenant.owner_id is None:
            continue
        membership = memberships.get((tenant.id, tenant.owner_id))
        if membership is None:
            missing.append(
                Membership(tenant=tenant, user_id=tenant.owner_id, role=Role.OWNER, created_at=tenant.created_at)
            )
        elif membership.role != Role.OWNER:
            membership.role = Role.OWNER
            membership.save(update_fields=["role"])
    Membership.objects.bulk_create(missing, batch_size=500)
