"""The importer of tenants. Both old services may have a copy; the config service's wins."""

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
from core.text import fold_name, unique_name
from legacy import names
from legacy.importers.base import (
    ChangedObject,
    Importer,
    SourceObject,
    chunked,
    differing_fields,
    placeholders,
    row_updates,
)
from legacy.importers.fields import check_id, is_valid_id, read_json, read_status, read_text, read_time
from legacy.models import Imported
from legacy.parsing import Row, parse_text
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot
from tenants import bulk_import
from tenants import services as tenants_services
from tenants.models import Tenant, TenantStatus, TenantType

_MAX_NAME_LENGTH = 200
_COMPARED = ("tenant_name", "tenant_type", "description", "contact_email", "tenant_config", "status", "owner_id")


class TenantImporter(Importer[Tenant, Tenant]):
    name = "tenants"
    model = Tenant
    has_contents = True

    def __init__(self, snapshot: Snapshot) -> None:
        self._new_names = _names_for_duplicates(snapshot)

    def read(
        self, snapshot: Snapshot, tenant_ids: Collection[str], report: Report
    ) -> Iterator[list[SourceObject[Tenant]]]:
        def convert(row: Row) -> SourceObject[Tenant] | None:
            tenant_id = str(row["id"])
            copies = [
                next(snapshot.rows(f"SELECT * FROM {table} WHERE id = ?", [tenant_id]), None)
                for table in ("tenants", "web_tenants")
            ]
            notes = report.notes_for(self.name, tenant_id, tenant_id)
            _report_differences(copies, notes)
            copy = next((copy for copy in copies if copy), None)
            if copy is None:
                notes.refuse(Reason.BAD_ID, "its id is not in UTF-8")
                return None
            other_name = self._new_names.get(tenant_id)
            return _tenant(copy, snapshot, notes, other_name=other_name, is_copy=copies[0] is None)

        rows = snapshot.rows(
            f"SELECT id FROM tenant_ids WHERE id IN ({placeholders(tenant_ids)}) ORDER BY id", list(tenant_ids)
        )
        return chunked(list(rows), convert)

    def ids_with_owner(self, snapshot: Snapshot, tenant_ids: Collection[str]) -> Iterator[tuple[str, str | None]]:
        return ((tenant, tenant) for tenant in tenant_ids)

    def count(self, snapshot: Snapshot) -> int:
        return snapshot.fetch_number("SELECT count(*) FROM tenant_ids")

    def ids_with_same_names(self, objects: Sequence[SourceObject[Tenant]]) -> set[str]:
        places = {(one.target.owner_scope, one.target.name_folded) for one in objects}
        others = Tenant.objects.exclude(pk__in=[one.object_id for one in objects]).filter(
            owner_scope__in={scope for scope, _name in places}, name_folded__in={name for _scope, name in places}
        )
        rows = others.values_list("pk", "owner_scope", "name_folded")
        return {pk for pk, scope, name in rows if (scope, name) in places}

    def resolve_conflicts(
        self, objects: Sequence[SourceObject[Tenant]], report: Report, *, to_delete: Collection[str]
    ) -> None:
        others = Tenant.objects.exclude(pk__in=[*(one.object_id for one in objects), *to_delete])
        taken = set(
            others.filter(
                owner_scope__in={one.target.owner_scope for one in objects} | {""},
                name_folded__in=[one.target.name_folded for one in objects],
            ).values_list("owner_scope", "name_folded")
        )
        _assign_owners(objects, report)

        def is_free(one: SourceObject[Tenant], name: str) -> bool:
            place = (one.target.owner_scope, fold_name(name))
            needed = {(other.target.owner_scope, other.target.name_folded) for other in objects}
            return place not in needed and not others.filter(owner_scope=place[0], name_folded=place[1]).exists()

        for one in objects:
            if (one.target.owner_scope, one.target.name_folded) in taken:
                notes = report.notes_for(self.name, one.object_id, one.object_id)
                other_name = unique_name(
                    one.target.tenant_name, one.object_id, partial(is_free, one), max_length=_MAX_NAME_LENGTH
                )
                _rename(one.target, other_name, "the owner has another tenant of this name in maim", notes)

    def save(
        self, *, actor: Actor, new: Sequence[SourceObject[Tenant]], changed: Sequence[ChangedObject[Tenant, Tenant]]
    ) -> None:
        bulk_import.import_tenants(actor=actor, new=[one.target for one in new], changed=row_updates(changed))

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        for tenant in Tenant.objects.filter(pk__in=object_ids):
            tenants_services.delete_tenant(actor=actor, tenant=tenant)

    def differences(self, existing: Tenant, source: SourceObject[Tenant]) -> list[str]:
        differ = differing_fields(
            existing,
            source.target,
            ("tenant_name", "tenant_type", "description", "contact_email", "status", "owner_id", "created_at"),
        )
        configs = (comparable_tenant_config(tenant.tenant_config) for tenant in (existing, source.target))
        if audit.differ(*configs):
            differ.append("tenant_config")
        return differ


def _names_for_duplicates(snapshot: Snapshot) -> dict[str, str]:
    """Return new names for the tenants whose name an older one of their owner has, by id.

    Names were unique in the old system, but only if their case counts.
    """
    rows = snapshot.rows(
        "SELECT id, tenant_name, coalesce(owner_id, '') AS owner FROM"
        " (SELECT id, tenant_name, owner_id, created_at FROM tenants UNION ALL"
        " SELECT id, tenant_name, owner_id, created_at FROM web_tenants"
        " WHERE NOT EXISTS (SELECT 1 FROM tenants WHERE tenants.id = web_tenants.id))"
        " WHERE id <> '' ORDER BY created_at, id"
    )
    return names.names_for_duplicates(
        (
            (
                _owner_scope(row["owner"]),
                row["id"],
                names.valid_name(parse_text(row["tenant_name"]), row["id"], max_length=_MAX_NAME_LENGTH).text,
            )
            for row in rows
        ),
        max_length=_MAX_NAME_LENGTH,
    )


def _assign_owners(objects: Sequence[SourceObject[Tenant]], report: Report) -> None:
    """Set the owners of tenants.

    A tenant belongs to an owner who was imported before. It has none if maim has deleted the owner, or has a user of
    the same id that was not imported. An owner who is not imported yet stays as is.
    """
    owners = {one.target.owner_scope for one in objects} - {""}
    existing = set(User.objects.filter(pk__in=owners).values_list("id", flat=True))
    imported = set(Imported.objects.filter(kind="users", object_id__in=owners).values_list("object_id", flat=True))
    for one in objects:
        tenant = one.target
        if tenant.owner_scope in existing & imported:
            tenant.owner_id = tenant.owner_scope
        elif tenant.owner_scope in existing | imported:
            tenant.owner_id, tenant.owner_scope = None, ""
            notes = report.notes_for(TenantImporter.name, one.object_id, one.object_id)
            notes.add(Reason.NO_OWNER, "its owner was refused, or deleted in maim; the tenant has no owner now")


def _report_differences(copies: Sequence[Row | None], notes: Notes) -> None:
    first, second = copies
    if first is None or second is None:
        return
    different = [
        # The config may have secrets, so it is not quoted.
        name if name == "tenant_config" else f"{name} {_short(first.get(name))}, not {_short(second.get(name))}"
        for name in _COMPARED
        if _normal(second.get(name)) not in (None, _normal(first.get(name)))  # the web service left fields out
    ]
    if different:
        notes.add(Reason.COPIES_DIFFER, f"the config service's copy counts: {'; '.join(different)}")


def _tenant(
    row: Row, snapshot: Snapshot, notes: Notes, *, other_name: str | None, is_copy: bool
) -> SourceObject[Tenant] | None:
    if not check_id(row["id"], notes):
        return None
    owner_scope = _owner_scope(row["owner_id"])
    has_owner = bool(owner_scope and snapshot.fetch_number("SELECT count(*) FROM people WHERE id = ?", [owner_scope]))
    if row["owner_id"] and not has_owner:
        notes.add(Reason.NO_OWNER, f"there is no user {str(row['owner_id'])[:50]}; the tenant has no owner yet")
    tenant = Tenant(
        id=row["id"],
        owner_id=owner_scope if has_owner else None,
        owner_scope=owner_scope,
        tenant_type=_tenant_type(row, notes),
        description=read_text(row, "description", notes),
        contact_email=_contact(row, notes),
        tenant_config=_tenant_config(row, notes),
        status=read_status(row, TenantStatus, TenantStatus.INACTIVE, notes),
        created_at=read_time(row, "created_at", notes),
        updated_at=read_time(row, "updated_at", notes),
    )
    name = names.valid_name(parse_text(row["tenant_name"]), tenant.id, max_length=_MAX_NAME_LENGTH)
    tenant.set_name(name.text)
    if name.problem:
        notes.add(Reason.RENAMED, f"{name.problem}; it is now {name.text}")
    if other_name:
        _rename(tenant, other_name, "the owner has an older tenant of this name", notes)
    source_values = {
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
    return SourceObject(
        tenant.id, tenant.id, tenant, {**source_values, "created_at": tenant.created_at}, is_copy=is_copy
    )


def _owner_scope(owner_id: Any) -> str:
    """Return the id of a tenant's owner, even if there is no such user, or an empty string if it cannot be an id."""
    owner = parse_text(owner_id) or ""
    return owner if is_valid_id(owner) else ""


def _rename(tenant: Tenant, other_name: str, why: str, notes: Notes) -> None:
    former = tenant.tenant_name
    tenant.set_name(other_name)
    notes.add(Reason.RENAMED, f"{why}: {former} is now {tenant.tenant_name}")


def _tenant_type(row: Row, notes: Notes) -> str:
    value = str(row.get("tenant_type") or "")
    if value in TenantType.values:
        return value
    notes.add(Reason.BAD_STATUS, f"{value[:30]!r} is not a tenant type; it is now {TenantType.ENTERPRISE.value}")
    return TenantType.ENTERPRISE.value


def _contact(row: Row, notes: Notes) -> str | None:
    contact = parse_text(row.get("contact_email"))
    if contact is not None and len(contact) > 255:
        notes.add(Reason.CHANGED_TEXT, "contact_email was longer than 255 characters, and was cut")
        contact = contact[:255]
    return contact


def _tenant_config(row: Row, notes: Notes) -> dict[str, Any] | None:
    config = read_json(row, "tenant_config", notes)
    if config is None:
        return None
    if not isinstance(config, dict):
        notes.add(Reason.BAD_JSON, "tenant_config: not an object; it was left out")
        return None
    kept: dict[str, Any] = {}
    for key, value in config.items():
        try:
            # Normalize the value as for storing, so that a comparison finds no difference.
            kept |= opened(apply_tenant_update(None, {key: value}).config or {})
        except BadConfig as error:
            # The old system ignored agents' defaults; maim would use them as a layer of every agent's config.
            notes.add(Reason.CONFIG_LEFT_OUT, f"tenant_config.{key[:100]} is not valid: {error.detail}")
    return kept


def _normal(value: Any) -> Any:
    """Return None for an empty text and for JSON's null, and other values as they are."""
    return None if value in ("", "null") else value


def _short(value: Any) -> str:
    return repr(value)[:60]
