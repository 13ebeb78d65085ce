"""Tenant scoping that fails closed.

Every model that belongs to a tenant has two managers. `objects` answers only inside named tenants:
any other use of it raises. `unscoped` sees every tenant; only gates, verification, admin and commands
may name it, which `tests/test_scoping.py` enforces.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import models

M = TypeVar("M", bound=models.Model)


class UnscopedQueryError(RuntimeError):
    """A query over a tenant's data named no tenant: a bug, never an input error."""


class TenantScopedManager(models.Manager[M]):
    """The default manager: refuses to build a queryset until tenants are named."""

    def get_queryset(self) -> models.QuerySet[M]:
        raise UnscopedQueryError(
            f"{self.model.__name__}.objects needs .in_tenants(...); "
            f"a query across tenants has to say {self.model.__name__}.unscoped"
        )

    def in_tenants(self, tenants: Iterable[str] | models.QuerySet[Any]) -> models.QuerySet[M]:
        """The rows of these tenants: ids, or a queryset of ids or of tenants; of none, if there are none."""
        if not isinstance(tenants, models.QuerySet):
            return super().get_queryset().filter(tenant_id__in=list(tenants))
        ids = tenants.order_by()
        return super().get_queryset().filter(tenant_id__in=ids if ids.query.values_select else ids.values("pk"))


class TenantOwned(models.Model):
    """Base of everything that lives in exactly one tenant."""

    tenant_id: str

    objects = TenantScopedManager()
    unscoped = models.Manager()

    class Meta:
        abstract = True
        # For cascades, foreign keys and refresh_from_db, which start from a row that was already
        # reached. Not the default manager: get_object_or_404(Agent) would then run unscoped in silence.
        base_manager_name = "unscoped"

    def validate_unique(self, exclude: Any = None) -> None:
        """Left to the database: the constraint decides, services translate its error."""

    def validate_constraints(self, exclude: Any = None) -> None:
        """Left to the database, as `validate_unique`."""
