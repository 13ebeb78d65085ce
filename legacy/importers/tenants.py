"""Tenants. Two services may each have a copy; the config service's wins."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any

from accounts.models import User
from agent_config.errors import BadConfig
from agent_config.secrets import opened
from agent_config.updates import apply_tenant_update, comparable_tenant_config
from core import audit
from core.actor import Actor
from core.text import fold_name
from legacy import names, values
from legacy.importers.base import (
    Changed,
    Found,
    Kind,
    differing,
    document,
    has_good_form,
    in_chunks,
    is_good_id,
    long_text,
    made_at,
    marks,
    rows_wanted,
    status,
)
from legacy.models import Imported
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot
from legacy.values import Row
from tenants import bulk_import
from tenants import services as tenants_services
from tenants.models import Tenant, TenantStatus, TenantType

_MOST = 200
_COMPARED = ("tenant_name", "tenant_type", "description", "contact_email", "tenant_config", "status", "owner_id")


class Tenants(Kind[Tenant, Tenant]):
    name = "tenants"
    model = Tenant
    holds_others = True

    def __init__(self, old: Snapshot) -> None:
        self._namesakes = _later_namesakes(old)

    def found(self, old: Snapshot, tenants: Collection[str], report: Report) -> Iterator[list[Found[Tenant]]]:
        def convert(row: Row) -> Found[Tenant] | None:
            tenant_id = str(row["id"])
            copies = [
                next(old.rows(f"SELECT * FROM {table} WHERE id = ?", [tenant_id]), None)
                for table in ("tenants", "web_tenants")
            ]
            notes = report.about(self.name, tenant_id, tenant_id)
            _tell_differences(copies, notes)
            copy = next((copy for copy in copies if copy), None)
            if copy is None:
                notes.refused(Reason.BAD_ID, "its id is not in UTF-8")
                return None
            other_name = self._namesakes.get(tenant_id)
            return _tenant(copy, old, notes, other_name=other_name, is_copy=copies[0] is None)

        rows = old.rows(f"SELECT id FROM tenant_ids WHERE id IN ({marks(tenants)}) ORDER BY id", list(tenants))
        return in_chunks(list(rows), convert)

    def places(self, old: Snapshot, tenants: Collection[str]) -> Iterator[tuple[str, str | None]]:
        return ((tenant, tenant) for tenant in tenants)

    def number(self, old: Snapshot) -> int:
        return old.number("SELECT count(*) FROM tenant_ids")

    def name_holders(self, found: Sequence[Found[Tenant]]) -> set[str]:
        places = {(one.wanted.owner_scope, one.wanted.name_folded) for one in found}
        others = Tenant.objects.exclude(pk__in=[one.object_id for one in found]).filter(
            owner_scope__in={scope for scope, _name in places}, name_folded__in={name for _scope, name in places}
        )
        rows = others.values_list("pk", "owner_scope", "name_folded")
        return {pk for pk, scope, name in rows if (scope, name) in places}

    def fit_in(self, found: Sequence[Found[Tenant]], report: Report, *, leaving: Collection[str]) -> None:
        others = Tenant.objects.exclude(pk__in=[*(one.object_id for one in found), *leaving])
        taken = set(
            others.filter(
                owner_scope__in={one.wanted.owner_scope for one in found} | {""},
                name_folded__in=[one.wanted.name_folded for one in found],
            ).values_list("owner_scope", "name_folded")
        )
        _settle_owners(found, report)

        def is_free(one: Found[Tenant], name: str) -> bool:
            place = (one.wanted.owner_scope, fold_name(name))
            wanted = {(other.wanted.owner_scope, other.wanted.name_folded) for other in found}
            return place not in wanted and not others.filter(owner_scope=place[0], name_folded=place[1]).exists()

        for one in found:
            if (one.wanted.owner_scope, one.wanted.name_folded) in taken:
                notes = report.about(self.name, one.object_id, one.object_id)
                other_name = names.distinct(one.wanted.tenant_name, one.object_id, partial(is_free, one), most=_MOST)
                _rename(one.wanted, other_name, "the owner has another tenant of this name here", notes)

    def adopt(self, *, actor: Actor, new: Sequence[Found[Tenant]], changed: Sequence[Changed[Tenant, Tenant]]) -> None:
        bulk_import.adopt_tenants(actor=actor, new=[one.wanted for one in new], changed=rows_wanted(changed))

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        for tenant in Tenant.objects.filter(pk__in=object_ids):
            tenants_services.delete_tenant(actor=actor, tenant=tenant)

    def differences(self, stored: Tenant, found: Found[Tenant]) -> list[str]:
        differ = differing(
            stored,
            found.wanted,
            ("tenant_name", "tenant_type", "description", "contact_email", "status", "owner_id", "created_at"),
        )
        configs = (comparable_tenant_config(tenant.tenant_config) for tenant in (stored, found.wanted))
        if audit.differ(*configs):
            differ.append("tenant_config")
        return differ


def _later_namesakes(old: Snapshot) -> dict[str, str]:
    """Names were unique there, but for their case; here an owner's are."""
    rows = old.rows(
        "SELECT id, tenant_name, coalesce(owner_id, '') AS owner FROM"
        " (SELECT id, tenant_name, owner_id, created_at FROM tenants UNION ALL"
        " SELECT id, tenant_name, owner_id, created_at FROM web_tenants"
        " WHERE NOT EXISTS (SELECT 1 FROM tenants WHERE tenants.id = web_tenants.id))"
        " WHERE id <> '' ORDER BY created_at, id"
    )
    return names.of_later_namesakes(
        (
            (
                _owner_scope(row["owner"]),
                row["id"],
                names.kept(values.text(row["tenant_name"]), row["id"], most=_MOST).text,
            )
            for row in rows
        ),
        most=_MOST,
    )


def _settle_owners(found: Sequence[Found[Tenant]], report: Report) -> None:
    """Connect tenants with the owners that came over before; disconnect them from an owner who was deleted here, and
    from a user here who only has the same id. An owner who is yet to be written stays as is."""
    owners = {one.wanted.owner_scope for one in found} - {""}
    here = set(User.objects.filter(pk__in=owners).values_list("id", flat=True))
    imported = set(Imported.objects.filter(kind="users", object_id__in=owners).values_list("object_id", flat=True))
    for one in found:
        tenant = one.wanted
        if tenant.owner_scope in here & imported:
            tenant.owner_id = tenant.owner_scope
        elif tenant.owner_scope in here | imported:
            tenant.owner_id, tenant.owner_scope = None, ""
            notes = report.about(Tenants.name, one.object_id, one.object_id)
            notes.found(Reason.NO_OWNER, "its owner was refused, or deleted here; the tenant has none now")


def _tell_differences(copies: Sequence[Row | None], notes: Notes) -> None:
    first, second = copies
    if first is None or second is None:
        return
    different = [
        name if name == "tenant_config" else f"{name} {_short(first.get(name))}, not {_short(second.get(name))}"
        for name in _COMPARED  # of which the config may have secrets
        if _normal(second.get(name)) not in (None, _normal(first.get(name)))  # the web service often left fields out
    ]
    if different:
        notes.found(Reason.COPIES_DIFFER, f"the config service's copy counts: {'; '.join(different)}")


def _tenant(row: Row, old: Snapshot, notes: Notes, *, other_name: str | None, is_copy: bool) -> Found[Tenant] | None:
    if not is_good_id(row["id"], notes):
        return None
    owner_scope = _owner_scope(row["owner_id"])
    has_owner = bool(owner_scope and old.number("SELECT count(*) FROM people WHERE id = ?", [owner_scope]))
    if row["owner_id"] and not has_owner:
        notes.found(Reason.NO_OWNER, f"there is no user {str(row['owner_id'])[:50]}; the tenant has no owner yet")
    tenant = Tenant(
        id=row["id"],
        owner_id=owner_scope if has_owner else None,
        owner_scope=owner_scope,
        tenant_type=_tenant_type(row, notes),
        description=long_text(row, "description", notes),
        contact_email=_contact(row, notes),
        tenant_config=_tenant_config(row, notes),
        status=status(row, TenantStatus, TenantStatus.INACTIVE, notes),
        created_at=made_at(row, "created_at", notes),
        updated_at=made_at(row, "updated_at", notes),
    )
    name = names.kept(values.text(row["tenant_name"]), tenant.id, most=_MOST)
    tenant.set_name(name.text)
    if name.problem:
        notes.found(Reason.RENAMED, f"{name.problem}; it is now {name.text}")
    if other_name:
        _rename(tenant, other_name, "the owner has an older tenant of this name", notes)
    told = {
        field: getattr(tenant, field)
        for field in (
            "tenant_name",
            "owner_scope",
            "tenant_type",
            "description",
            "contact_email",
            "tenant_config",
            "status",
        )
    }
    return Found(tenant.id, tenant.id, tenant, {**told, "created_at": tenant.created_at}, is_copy=is_copy)


def _owner_scope(owner_id: Any) -> str:
    """Return the id of a tenant's owner, whether or not there is such a user; empty for what can be no id."""
    owner = values.text(owner_id) or ""
    return owner if has_good_form(owner) else ""


def _rename(tenant: Tenant, other_name: str, why: str, notes: Notes) -> None:
    former = tenant.tenant_name
    tenant.set_name(other_name)
    notes.found(Reason.RENAMED, f"{why}: {former} is now {tenant.tenant_name}")


def _tenant_type(row: Row, notes: Notes) -> str:
    value = str(row.get("tenant_type") or "")
    if value in TenantType.values:
        return value
    notes.found(Reason.BAD_STATUS, f"{value[:30]!r} is no type of a tenant; it is now {TenantType.ENTERPRISE.value}")
    return TenantType.ENTERPRISE.value


def _contact(row: Row, notes: Notes) -> str | None:
    contact = values.text(row.get("contact_email"))
    if contact is not None and len(contact) > 255:
        notes.found(Reason.CHANGED_TEXT, "contact_email was longer than 255 characters, and was cut")
        contact = contact[:255]
    return contact


def _tenant_config(row: Row, notes: Notes) -> dict[str, Any] | None:
    config = document(row, "tenant_config", notes)
    if config is None:
        return None
    if not isinstance(config, dict):
        notes.found(Reason.BAD_JSON, "tenant_config: no object; it was left out")
        return None
    kept: dict[str, Any] = {}
    for key, value in config.items():
        try:
            # As it will be stored, so that a comparison finds no difference.
            kept |= opened(apply_tenant_update(None, {key: value}).config or {})
        except BadConfig as error:
            # Agents' defaults meant nothing there; here they would be a layer of every agent's config.
            notes.found(Reason.CONFIG_LEFT_OUT, f"tenant_config.{key[:100]} is not valid: {error.detail}")
    return kept


def _normal(value: Any) -> Any:
    """Empty, absent and JSON's null are the same."""
    return None if value in ("", "null") else value


def _short(value: Any) -> str:
    return ascii(value)[:60]
