from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from core.errors import Conflict, Forbidden, NotFound

if TYPE_CHECKING:
    from tenants.models import Tenant


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


class OwnsTenants(Conflict):
    """An account that cannot be closed yet, because of these tenants, which the response names."""

    code = "TENANT_004"
    message = _("You still own tenants: delete them, or hand them over, before you close the account")

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        super().__init__()
        self.extra = {"tenants": [{"tenant_id": row.id, "tenant_name": row.tenant_name} for row in tenants]}


class TenantLimitReached(Conflict):
    code = "TENANT_005"
    message = _("The tenant may have no more of these")


class MemberNotFound(NotFound):
    message = _("This person is no member of the tenant")


class MissingSecondFactor(Forbidden):
    """Access to a tenant that requires a second factor, by a person who has none."""

    code = "TENANT_006"
    message = _("This tenant requires a second factor; add one to your account")


class InvitationNotFound(NotFound):
    message = _("There is no invitation with this id in the tenant")


class ForAnotherAddress(Forbidden):
    """An invitation for another e-mail address than that of the account that is to join."""

    code = "INVITATION_ADDRESS"
    message = _(
        "This invitation is for another e-mail address than your account has; sign in to the account that has it, or "
        "enter it in this one"
    )
