"""Tenants behind the internal door: the views of `tenants`, open to every tenant."""

from __future__ import annotations

from maim.http.views import InternalDoor
from tenants.views import TenantCollection, TenantResource


class Tenants(InternalDoor, TenantCollection):
    pass


class Tenant(InternalDoor, TenantResource):
    pass
