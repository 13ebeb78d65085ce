"""The importer of API keys. The secrets stay the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from apikeys import bulk_import, keyformat, permissions, validators
from apikeys import services as apikeys
from apikeys.bulk_import import ImportedKey
from apikeys.errors import BadPermissions
from apikeys.keyformat import MalformedKey
from apikeys.models import ApiKey, KeyStatus
from core.actor import Actor
from core.db import RowUpdate
from legacy import names
from legacy.importers.base import ChangedObject, Importer, SourceObject, chunked, differing_fields, placeholders
from legacy.importers.fields import check_id, read_json, read_status, read_text, read_time
from legacy.importers.renaming import names_for_duplicates, rename, rename_conflicting, rows_with_same_names
from legacy.parsing import Row, UnreadableValue, parse_count, parse_datetime, parse_text
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot

_MAX_NAME_LENGTH = 100


class KeyImporter(Importer[ApiKey, ImportedKey]):
    name = "keys"
    model = ApiKey
    belongs_to_agent = True

    def read(
        self, snapshot: Snapshot, tenant_ids: Collection[str], report: Report
    ) -> Iterator[list[SourceObject[ImportedKey]]]:
        new_names = names_for_duplicates(snapshot, "api_keys", tenant_ids, max_length=_MAX_NAME_LENGTH)

        def convert(row: Row) -> SourceObject[ImportedKey] | None:
            notes = report.notes_for(self.name, row["id"], row["tenant_id"])
            return _key(row, notes, other_name=new_names.get(row["id"]))

        query = (
            "SELECT api_keys.*, agents.tenant_id AS tenant_of_agent, (SELECT id FROM api_keys same"
            " WHERE same.api_key = api_keys.api_key ORDER BY created_at, id LIMIT 1) AS first_of_secret FROM api_keys"
            f" LEFT JOIN agents ON agents.id = agent_id WHERE api_keys.tenant_id IN ({placeholders(tenant_ids)})"
            " ORDER BY api_keys.created_at, api_keys.id"
        )
        return chunked(snapshot.rows(query, list(tenant_ids)), convert)

    def ids_with_owner(self, snapshot: Snapshot, tenant_ids: Collection[str]) -> Iterator[tuple[str, str | None]]:
        """Yield id and tenant of the keys whose agent exists and whose secret is well-formed.

        Other keys could not be verified in the old system any more.
        """
        query = (
            "SELECT api_keys.id, api_keys.tenant_id, api_key FROM api_keys JOIN agents"
            " ON agents.id = agent_id AND agents.tenant_id = api_keys.tenant_id"
            f" WHERE api_keys.tenant_id IN ({placeholders(tenant_ids)})"
        )
        return (
            (row["id"], row["tenant_id"])
            for row in snapshot.rows(query, list(tenant_ids))
            if keyformat.is_well_formed(str(row["api_key"]))
        )

    def count(self, snapshot: Snapshot) -> int:
        return snapshot.fetch_number("SELECT count(*) FROM api_keys")

    def existing(self, objects: Sequence[SourceObject[ImportedKey]]) -> dict[str, ApiKey]:
        rows = ApiKey.unscoped.filter(pk__in=[one.object_id for one in objects]).prefetch_related("secrets")
        return {row.pk: row for row in rows}

    def ids_with_same_names(self, objects: Sequence[SourceObject[ImportedKey]]) -> set[str]:
        return set(rows_with_same_names([one.target.key for one in objects]).values())

    def resolve_conflicts(
        self, objects: Sequence[SourceObject[ImportedKey]], report: Report, *, to_delete: Collection[str]
    ) -> None:
        rename_conflicting(
            [one.target.key for one in objects], self.name, report, to_delete=to_delete, max_length=_MAX_NAME_LENGTH
        )

    def save(
        self,
        *,
        actor: Actor,
        new: Sequence[SourceObject[ImportedKey]],
        changed: Sequence[ChangedObject[ApiKey, ImportedKey]],
    ) -> None:
        bulk_import.import_keys(
            actor=actor,
            new=[one.target for one in new],
            changed=[(one.existing, one.source.target) for one in changed],
            renewed={one.existing.pk for one in changed if one.has_new_secret},
        )

    def import_uses(self, unchanged: Sequence[SourceObject[ImportedKey]], *, apply: bool) -> int:
        stored = ApiKey.unscoped.in_bulk([one.object_id for one in unchanged])
        used = [
            RowUpdate(stored[one.object_id], one.target.key)
            for one in unchanged
            if one.object_id in stored and _uses_beyond(stored[one.object_id], one.target.key)
        ]
        if used and apply:
            bulk_import.import_uses(used)
        return len(used)

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        for key in ApiKey.unscoped.filter(pk__in=object_ids):
            apikeys.delete_key(actor=actor, key=key)

    def differences(self, existing: ApiKey, source: SourceObject[ImportedKey]) -> list[str]:
        """Return the differing fields. More uses in maim are no difference, because maim has counted them."""
        key = source.target.key
        fields = ("tenant_id", "agent_id", "name", "description", "permissions", "status", "expires_at", "created_at")
        differ = [*differing_fields(existing, key, fields), *_uses_beyond(existing, key)]
        if not bulk_import.has_secret(existing, source.target.secret):
            differ.append("secret")
        return differ

    def report_orphans(self, snapshot: Snapshot, report: Report) -> None:
        for row in snapshot.rows(
            "SELECT id, tenant_id FROM api_keys WHERE tenant_id IS NULL OR tenant_id NOT IN (SELECT id FROM tenant_ids)"
        ):
            notes = report.notes_for(self.name, row["id"], row["tenant_id"])
            notes.refuse(Reason.REFERS_TO_NOTHING, f"there is no tenant {row['tenant_id']}")


def _key(row: Row, notes: Notes, *, other_name: str | None) -> SourceObject[ImportedKey] | None:
    if not check_id(row["id"], notes):
        return None
    if row["tenant_of_agent"] != row["tenant_id"]:
        agent_id = row["agent_id"]
        is_missing = row["tenant_of_agent"] is None
        why = f"there is no agent {agent_id}" if is_missing else f"the agent {agent_id} belongs to another tenant"
        notes.refuse(Reason.REFERS_TO_NOTHING, why)
        return None
    if row["first_of_secret"] != row["id"]:
        notes.refuse(Reason.REPEATED, f"the older key {row['first_of_secret']} has the same secret")
        return None
    secret = str(row["api_key"])
    try:
        keyformat.parse(secret)
    except MalformedKey as error:
        notes.refuse(Reason.MALFORMED_KEY, str(error))
        return None
    key = ApiKey(
        id=row["id"],
        tenant_id=row["tenant_id"],
        agent_id=row["agent_id"],
        description=read_text(row, "description", notes),
        permissions=_permissions(row, notes),
        status=read_status(row, KeyStatus, KeyStatus.DISABLED, notes),
        last_used_at=_time_or_none(row, "last_used_at", notes),
        usage_count=_uses(row, notes),
        created_at=read_time(row, "created_at", notes),
        updated_at=read_time(row, "updated_at", notes),
    )
    try:
        key.expires_at = parse_datetime(row.get("expires_at"))
    except UnreadableValue as error:
        key.status = KeyStatus.DISABLED
        notes.add(Reason.BAD_TIME, f"expires_at: {error}; the key is disabled now")
    name = names.valid_name(parse_text(row["name"]), key.id, max_length=_MAX_NAME_LENGTH)
    key.set_name(name.text)
    if name.problem:
        notes.add(Reason.RENAMED, f"{name.problem}; it is now {name.text}")
    if other_name:
        rename(key, other_name, "an older key of the tenant has this name", notes)
    fields = ("name", "agent_id", "description", "permissions", "status", "expires_at", "created_at")
    source_values = {field: getattr(key, field) for field in fields}
    return SourceObject(
        key.id, key.tenant_id, ImportedKey(key, secret), source_values, agent_id=key.agent_id, secret=secret
    )


def _uses_beyond(existing: ApiKey, key: ApiKey) -> list[str]:
    """Return the names of fields that tell of uses in the old system which maim's row does not have."""
    fields = list[str]()
    if existing.usage_count < key.usage_count:
        fields.append("usage_count")
    if key.last_used_at is not None and (existing.last_used_at is None or existing.last_used_at < key.last_used_at):
        fields.append("last_used_at")
    return fields


def _permissions(row: Row, notes: Notes) -> list[str]:
    """Return the valid permissions. A key whose permissions cannot be read gets none."""
    value = read_json(row, "permissions", notes)
    if value is None:
        return []
    if not isinstance(value, list):
        notes.add(Reason.BAD_PERMISSION, "not a list; the key has no permissions now")
        return []
    good = [name for name in value if isinstance(name, str) and permissions.NAME.fullmatch(name)]
    if len(good) < len(value):
        notes.add(
            Reason.BAD_PERMISSION, f"{len(value) - len(good)} of {len(value)} are not valid names, and were left out"
        )
    try:
        return validators.clean_permissions(good)
    except BadPermissions as error:
        notes.add(Reason.BAD_PERMISSION, f"{error.detail}; only the first {validators.MAX_PERMISSIONS} were kept")
        return validators.clean_permissions(good[: validators.MAX_PERMISSIONS])


def _time_or_none(row: Row, column: str, notes: Notes) -> datetime | None:
    try:
        return parse_datetime(row.get(column))
    except UnreadableValue as error:
        notes.add(Reason.BAD_TIME, f"{column}: {error}")
        return None


def _uses(row: Row, notes: Notes) -> int:
    try:
        return parse_count(row.get("usage_count") or 0)
    except UnreadableValue as error:
        notes.add(Reason.BAD_NUMBER, f"usage_count: {error}; it is 0 now")
        return 0
