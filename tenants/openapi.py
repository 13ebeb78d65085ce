"""The table of roles in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from django.utils import translation

from tenants.models import Role
from tenants.roles import ALLOWED, Access

_ORDER = (Role.OWNER, Role.ADMIN, Role.MEMBER, Role.VIEWER)


def describe_roles(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Describe the roles under the tag of tenants, in the document of the surface that people use."""
    if "/api/v1/tenants" in result["paths"]:
        result["tags"] = [{"name": "tenants", "description": f"Who may do what in a tenant:\n\n{_table()}"}]
    return result


def _table() -> str:
    rows = [("may", *_ORDER), ("---",) * 5, *(_row(access) for access in Access)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(access: Access) -> tuple[str, ...]:
    with translation.override("en"):
        return (str(access.value), *("yes" if access in ALLOWED[role] else "no" for role in _ORDER))
