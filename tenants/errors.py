from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.errors import Conflict, NotFound


class TenantNotFound(NotFound):
    code = "TENANT_001"
    message = _("Tenant not found")


class TenantNameTaken(Conflict):
    code = "TENANT_002"
    message = _("A tenant of this name already exists")


# By the constraint, or the column that MariaDB or SQLite may name instead.
NAME_TAKEN = {"tenant_name_unique": TenantNameTaken(), "name_folded": TenantNameTaken()}


class TenantReadOnly(Conflict):
    code = "TENANT_003"
    message = _("The tenant's status does not allow changes")


class TenantFull(Conflict):
    code = "TENANT_005"
    message = _("The tenant may have no more of these")


class MemberNotFound(NotFound):
    message = _("This person is no member of the tenant")
