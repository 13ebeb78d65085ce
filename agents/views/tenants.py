"""The choice of the tenant that a request is about."""

from __future__ import annotations

from core.actor import Actor
from tenants.access import default_tenant, get_tenant
from tenants.models import Tenant
from tenants.roles import Access


def get_chosen_tenant(actor: Actor, tenant_id: str | None, access: Access) -> Tenant:
    """Return the tenant with this id, or without one the first that the person belongs to. Raise as `get_tenant`."""
    return default_tenant(actor, access) if tenant_id is None else get_tenant(actor, tenant_id, access)
