"""The permissions of each role of operators: the one table that every page and action of the admin asks.

Permissions have Django's names, `<app>.<verb>_<model>`, so that `user.has_perm`, the admin's own checks and
`perms` in templates answer from this table (accounts.backends). What no role has here, only admins may do.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import pgettext_lazy


class OperatorRole(models.TextChoices):
    """The role of an operator, from the least to the most."""

    VIEWER = "viewer", pgettext_lazy("operator", "viewer")
    SUPPORT = "support", pgettext_lazy("operator", "support")
    ADMIN = "admin", pgettext_lazy("operator", "admin")


_VIEW = frozenset(
    {
        "accounts.view_invitation",
        "accounts.view_personaltoken",
        "accounts.view_queuedmail",
        "accounts.view_user",
        "agents.view_agent",
        "agents.view_agentactivity",
        "agents.view_configversion",
        "agents.view_pluginsetting",
        "agents.view_template",
        "apikeys.view_apikey",
        "apikeys.view_usagelogentry",
        "common.view_auditentry",
        "common.view_deletedobject",
        "operations.view_bulkoperation",
        "tenants.view_membership",
        "tenants.view_tenant",
        "tenants.view_tenantinvitation",
    }
)
# Disabling and suspending, and undoing that, also of many objects. None of it deletes or shows a secret.
_DISABLE_AND_SUSPEND = frozenset(
    {
        "accounts.deactivate_user",
        "accounts.end_sessions_user",
        "apikeys.disable_apikey",
        "apikeys.enable_apikey",
        "operations.add_bulkoperation",  # of the kinds whose permission the role has (operations.access)
        "tenants.resume_tenant",
        "tenants.suspend_tenant",
    }
)
_WRITE = frozenset(
    {
        "accounts.add_invitation",
        "accounts.add_user",
        "accounts.change_user",
        "accounts.delete_invitation",
        "accounts.delete_personaltoken",
        "accounts.delete_user",
        "accounts.set_role_user",
        "agents.add_agent",
        "agents.add_template",
        "agents.change_agent",
        "agents.change_template",
        "agents.delete_agent",
        "agents.delete_template",
        "agents.restore_configversion",
        "apikeys.add_apikey",
        "apikeys.change_apikey",
        "apikeys.delete_apikey",
        "apikeys.rotate_apikey",
        "common.restore_deletedobject",
        "tenants.add_membership",
        "tenants.add_tenant",
        "tenants.change_membership",
        "tenants.change_tenant",
        "tenants.delete_membership",
        "tenants.delete_tenant",
        "tenants.delete_tenantinvitation",
    }
)

ALLOWED: dict[OperatorRole, frozenset[str]] = {
    OperatorRole.VIEWER: _VIEW,
    OperatorRole.SUPPORT: _VIEW | _DISABLE_AND_SUSPEND,
    OperatorRole.ADMIN: _VIEW | _DISABLE_AND_SUSPEND | _WRITE,
}
