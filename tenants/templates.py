"""The templates that may lie below a tenant's defaults for its agents."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.db.models import Q

from agent_config.layers import Layer
from tenants.models import Tenant


def templates_below(tenant: Tenant) -> Iterator[Layer]:
    """Yield every operators' template, and each of the tenant's own that an agent of it uses."""
    # By its name, because the app `agents` depends on this one.
    template = apps.get_model("agents", "Template")
    used = Q(tenant=tenant, pk__in=tenant.agents(manager="unscoped").values("template_id"))
    rows = template.unscoped.filter(Q(tenant=None) | used).values_list("tenant_id", "config")
    for tenant_id, config in rows:
        yield Layer("template", config, is_trusted=tenant_id is None)
