"""New names for agents and keys whose name another one of their tenant has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Protocol

from core.text import fold_name, unique_name
from legacy import names
from legacy.importers.base import placeholders
from legacy.parsing import parse_text
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot


class NamedRow(Protocol):
    """A row whose name is unique in its tenant."""

    pk: Any
    tenant_id: str
    name: str
    name_folded: str

    def set_name(self, name: str) -> None: ...


def names_for_duplicates(
    snapshot: Snapshot, table: str, tenant_ids: Collection[str], *, max_length: int
) -> dict[str, str]:
    """Return new names for the objects whose name an older one of their tenant has, by id."""
    query = (
        f"SELECT id, tenant_id, name FROM {table} WHERE tenant_id IN ({placeholders(tenant_ids)})"
        " ORDER BY created_at, id"
    )
    return names.names_for_duplicates(
        (
            (
                row["tenant_id"],
                row["id"],
                names.valid_name(parse_text(row["name"]), row["id"], max_length=max_length).text,
            )
            for row in snapshot.rows(query, list(tenant_ids))
        ),
        max_length=max_length,
    )


def rename(row: NamedRow, name: str, why: str, notes: Notes) -> None:
    """Rename a row and report it."""
    notes.add(Reason.RENAMED, f"{why}: {row.name} is now {name}")
    row.set_name(name)


def rows_with_same_names(rows: Sequence[NamedRow]) -> dict[tuple[str, str], str]:
    """Return the ids of other rows in maim with the names of these, by tenant and folded name.

    The rows are of one model.
    """
    manager = type(rows[0])._base_manager  # type: ignore[attr-defined]  # a protocol cannot be a model, too
    others = manager.exclude(pk__in=[row.pk for row in rows]).filter(
        tenant__in={row.tenant_id for row in rows}, name_folded__in=[row.name_folded for row in rows]
    )
    needed = {(row.tenant_id, row.name_folded) for row in rows}
    found = others.values_list("tenant_id", "name_folded", "pk")
    return {(tenant_id, name): pk for tenant_id, name, pk in found if (tenant_id, name) in needed}


def rename_conflicting(
    rows: Sequence[NamedRow], kind: str, report: Report, *, to_delete: Collection[str], max_length: int
) -> None:
    """Rename rows whose name is taken by a row that is neither saved with them nor in `to_delete`.

    The rows are of one model.
    """
    manager = type(rows[0])._base_manager  # type: ignore[attr-defined]  # a protocol cannot be a model, too
    others = manager.exclude(pk__in=[*(row.pk for row in rows), *to_delete])
    taken = {key for key, pk in rows_with_same_names(rows).items() if pk not in to_delete}

    def is_free(tenant_id: str, name: str) -> bool:
        needed = {(row.tenant_id, row.name_folded) for row in rows}
        is_taken = others.filter(tenant=tenant_id, name_folded=fold_name(name)).exists()
        return (tenant_id, fold_name(name)) not in needed and not is_taken

    for row in rows:
        if (row.tenant_id, row.name_folded) in taken:
            name = unique_name(row.name, row.pk, partial(is_free, row.tenant_id), max_length=max_length)
            rename(row, name, "another one in maim has this name", report.notes_for(kind, row.pk, row.tenant_id))
