"""The rights of each role in a tenant: the one table that access is decided by, and that the documents show."""

from __future__ import annotations

from enum import Enum

from django.utils.translation import gettext_lazy as _

from tenants.models import Role


class Access(Enum):
    """A kind of access to a tenant. The value says what it allows."""

    READ = _("read agents, templates, keys without their secrets, use, and members")
    WRITE_AGENTS = _("create, change and delete agents and templates, and set plugins of an agent")
    MANAGE_KEYS = _("issue, change, rotate, disable and delete keys")
    MANAGE_MEMBERS = _("invite people, change the roles of members, and remove them")
    MANAGE_TENANT = _("change the tenant, and set plugins of all its agents")
    READ_AUDIT = _("read who changed what")
    OWN = _("delete the tenant, and hand it over")
    SET_SECRETS = _("set secrets, such as keys of model providers, in what they may write")
    READ_INVITATIONS = _("read who is invited")


_READER = frozenset({Access.READ})
_WRITER = _READER | {Access.WRITE_AGENTS, Access.SET_SECRETS}
_MANAGER = _WRITER | {
    Access.MANAGE_KEYS,
    Access.MANAGE_MEMBERS,
    Access.READ_INVITATIONS,
    Access.MANAGE_TENANT,
    Access.READ_AUDIT,
}

ALLOWED: dict[Role, frozenset[Access]] = {
    Role.VIEWER: _READER,
    Role.MEMBER: _WRITER,
    Role.ADMIN: _MANAGER,
    Role.OWNER: _MANAGER | {Access.OWN},
}
# The roles whose people may invite others, and give any role but the owner's.
INVITERS = frozenset(role for role, rights in ALLOWED.items() if Access.MANAGE_MEMBERS in rights)
