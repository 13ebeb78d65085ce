"""Tenant scoping that fails closed.

Every model of a tenant has two managers. `objects` works only inside named tenants and raises otherwise.
`unscoped` sees every tenant; only access checks, verification, admin and commands may use it, which
`tests/test_scoping.py` enforces.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import models

from core.listing import newest_with

M = TypeVar("M", bound=models.Model)


class UnscopedQueryError(RuntimeError):
    """A bug: a query over tenants' data without a tenant."""


class TenantScopedManager(models.Manager[M]):
    """The default manager, which builds no queryset until tenants are named."""

    def get_queryset(self) -> models.QuerySet[M]:
        raise UnscopedQueryError(
            f"{self.model.__name__}.objects needs .in_tenants(...); "
            f"a query across tenants has to say {self.model.__name__}.unscoped"
        )

    def in_tenants(self, tenants: Iterable[str] | models.QuerySet[Any]) -> models.QuerySet[M]:
        """Return the rows of these tenants, given as ids, or as a queryset of ids or of tenants."""
        if not isinstance(tenants, models.QuerySet):
            return super().get_queryset().filter(tenant_id__in=list(tenants))
        ids = tenants.order_by()
        return super().get_queryset().filter(tenant_id__in=ids if ids.query.values_select else ids.values("pk"))

    def newest_in(self, tenant_id: str, **values: Any) -> models.QuerySet[M]:
        """Return a tenant's rows of a log that have these values, like `newest_with`."""
        return newest_with(super().get_queryset(), tenant_id=tenant_id, **values)


class TenantOwned(models.Model):
    """The base of models whose rows belong to one tenant."""

    tenant_id: str

    objects = TenantScopedManager()
    unscoped = models.Manager()

    class Meta:
        abstract = True
        # Cascades, foreign keys and refresh_from_db use the base manager; they start from a row that was already
        # loaded. It is not the default manager, because get_object_or_404(Agent) would then run unscoped.
        base_manager_name = "unscoped"

    def validate_unique(self, exclude: Any = None) -> None:
        """Do nothing, because the database's constraint decides, and services translate its error."""

    def validate_constraints(self, exclude: Any = None) -> None:
        """Do nothing, like `validate_unique`."""
