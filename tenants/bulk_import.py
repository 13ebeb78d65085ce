"""Taking over the tenants of another system, as they are there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from accounts.models import User
from agent_config.document import agent_defaults
from agent_config.updates import apply_tenant_update
from core import audit, change_feed, epoch
from core.actor import Actor
from core.audit import AuditChange
from core.db import Wanted, overwrite, transactional
from core.models import Change
from core.revisions import raise_revisions
from tenants.models import Membership, Role, Tenant
from tenants.services import audit_state, set_revision

FIELDS = (
    "tenant_name", "name_folded", "owner_id", "owner_scope", "tenant_type", "description", "contact_email",
    "tenant_config", "status", "created_at", "updated_at",
)  # fmt: skip


@transactional
def adopt_tenants(*, actor: Actor, new: Sequence[Tenant], changed: Sequence[Wanted[Tenant]]) -> None:
    """Stores tenants whose names were made distinct, and makes others what they are to be; who owns one is a member.

    The secrets in their configs are sealed here.
    """
    before = [(audit_state(stored), stored.tenant_config, stored.owner_id) for stored, _wanted in changed]
    for stored, wanted in changed:
        wanted.tenant_config, _warnings = apply_tenant_update(
            stored.tenant_config, wanted.tenant_config, may_move_secrets=True
        )
    raise_revisions([stored for stored, _wanted in changed])
    overwrite(changed, FIELDS, unique=[["name_folded", "owner_scope"]])
    for tenant in new:
        tenant.tenant_config, _warnings = apply_tenant_update(None, tenant.tenant_config)
    Tenant.objects.bulk_create(new, batch_size=500)  # later, for they may have names that others give up
    recorded = [AuditChange(tenant.id, tenant.id, after=audit_state(tenant)) for tenant in new]
    for (stored, _wanted), (was, config, owner_id) in zip(changed, before, strict=True):
        has_new_defaults = audit.differ(agent_defaults(config), agent_defaults(stored.tenant_config))
        if has_new_defaults:
            epoch.numbered(partial(set_revision, stored))
        if has_new_defaults or stored.status != was["status"]:
            change_feed.publish(Change.Kind.TENANT, [stored.id], tenant_id=stored.id)
        epoch.invalidate(stored.id)
        if stored.owner_id != owner_id:
            Membership.objects.filter(tenant=stored, user_id=owner_id).delete()
        recorded.append(AuditChange(stored.id, stored.id, was, audit_state(stored)))
    _make_owners([*new, *(stored for stored, _wanted in changed)])
    audit.record_all(actor=actor, action="tenant.import", changes=recorded)


@transactional
def give_to_owners(*, actor: Actor, user_ids: Sequence[str]) -> None:
    """Make users the owners of the tenants that were created under their ids before the users came."""
    tenants = list(Tenant.objects.select_for_update().filter(owner__isnull=True, owner_scope__in=user_ids))
    for tenant in tenants:
        tenant.owner_id = tenant.owner_scope
    Tenant.objects.bulk_update(tenants, ["owner_id"], batch_size=500)
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
    there = {
        (row.tenant_id, row.user_id): row
        for row in Membership.objects.filter(tenant__in=[tenant.pk for tenant in tenants])
    }
    missing = []
    for tenant in tenants:
        if tenant.owner_id is None:
            continue
        membership = there.get((tenant.id, tenant.owner_id))
        if membership is None:
            missing.append(
                Membership(tenant=tenant, user_id=tenant.owner_id, role=Role.OWNER, created_at=tenant.created_at)
            )
        elif membership.role != Role.OWNER:
            membership.role = Role.OWNER
            membership.save(update_fields=["role"])
    Membership.objects.bulk_create(missing, batch_size=500)
