"""API keys: the same secret goes on working."""

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
from legacy import names, values
from legacy.importers.base import (
    Changed,
    Found,
    Kind,
    differing,
    document,
    holders_of_names,
    in_chunks,
    is_good_id,
    long_text,
    made_at,
    marks,
    names_of_later_namesakes,
    rename,
    rename_taken,
    status,
)
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot
from legacy.values import Row, Unreadable

_MOST = 100


class Keys(Kind[ApiKey, ImportedKey]):
    name = "keys"
    model = ApiKey
    goes_with_agent = True

    def found(self, old: Snapshot, tenants: Collection[str], report: Report) -> Iterator[list[Found[ImportedKey]]]:
        namesakes = names_of_later_namesakes(old, "api_keys", tenants, most=_MOST)

        def convert(row: Row) -> Found[ImportedKey] | None:
            notes = report.about(self.name, row["id"], row["tenant_id"])
            return _key(row, notes, other_name=namesakes.get(row["id"]))

        wanted = (
            "SELECT api_keys.*, agents.tenant_id AS tenant_of_agent, (SELECT id FROM api_keys same"
            " WHERE same.api_key = api_keys.api_key ORDER BY created_at, id LIMIT 1) AS first_of_secret FROM api_keys"
            f" LEFT JOIN agents ON agents.id = agent_id WHERE api_keys.tenant_id IN ({marks(tenants)})"
            " ORDER BY api_keys.created_at, api_keys.id"
        )
        return in_chunks(old.rows(wanted, list(tenants)), convert)

    def places(self, old: Snapshot, tenants: Collection[str]) -> Iterator[tuple[str, str | None]]:
        """Those whose agent is there, and whose secret could be asked about: no other is a key any more."""
        query = (
            "SELECT api_keys.id, api_keys.tenant_id, api_key FROM api_keys JOIN agents"
            " ON agents.id = agent_id AND agents.tenant_id = api_keys.tenant_id"
            f" WHERE api_keys.tenant_id IN ({marks(tenants)})"
        )
        return (
            (row["id"], row["tenant_id"])
            for row in old.rows(query, list(tenants))
            if keyformat.is_well_formed(str(row["api_key"]))
        )

    def number(self, old: Snapshot) -> int:
        return old.number("SELECT count(*) FROM api_keys")

    def stored(self, found: Sequence[Found[ImportedKey]]) -> dict[str, ApiKey]:
        rows = ApiKey.unscoped.filter(pk__in=[one.object_id for one in found]).prefetch_related("secrets")
        return {row.pk: row for row in rows}

    def name_holders(self, found: Sequence[Found[ImportedKey]]) -> set[str]:
        return set(holders_of_names([one.wanted.key for one in found]).values())

    def fit_in(self, found: Sequence[Found[ImportedKey]], report: Report, *, leaving: Collection[str]) -> None:
        rename_taken([one.wanted.key for one in found], self.name, report, leaving=leaving, most=_MOST)

    def adopt(
        self, *, actor: Actor, new: Sequence[Found[ImportedKey]], changed: Sequence[Changed[ApiKey, ImportedKey]]
    ) -> None:
        bulk_import.import_keys(
            actor=actor,
            new=[one.wanted for one in new],
            changed=[(one.stored, one.found.wanted) for one in changed],
            renewed={one.stored.pk for one in changed if one.has_new_secret},
        )

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        for key in ApiKey.unscoped.filter(pk__in=object_ids):
            apikeys.delete_key(actor=actor, key=key)

    def differences(self, stored: ApiKey, found: Found[ImportedKey]) -> list[str]:
        """More uses than there are no difference: they were made here."""
        key = found.wanted.key
        fields = ("tenant_id", "agent_id", "name", "description", "permissions", "status", "expires_at", "created_at")
        differ = differing(stored, key, fields)
        if stored.usage_count < key.usage_count:
            differ.append("usage_count")
        if key.last_used_at is not None and (stored.last_used_at is None or stored.last_used_at < key.last_used_at):
            differ.append("last_used_at")
        if not bulk_import.has_secret(stored, found.wanted.secret):
            differ.append("secret")
        return differ

    def orphans(self, old: Snapshot, report: Report) -> None:
        for row in old.rows(
            "SELECT id, tenant_id FROM api_keys WHERE tenant_id IS NULL OR tenant_id NOT IN (SELECT id FROM tenant_ids)"
        ):
            notes = report.about(self.name, row["id"], row["tenant_id"])
            notes.refused(Reason.REFERS_TO_NOTHING, f"there is no tenant {row['tenant_id']}")


def _key(row: Row, notes: Notes, *, other_name: str | None) -> Found[ImportedKey] | None:
    if not is_good_id(row["id"], notes):
        return None
    if row["tenant_of_agent"] != row["tenant_id"]:
        why = "there is no agent" if row["tenant_of_agent"] is None else "of another tenant is the agent"
        notes.refused(Reason.REFERS_TO_NOTHING, f"{why} {row['agent_id']}")
        return None
    if row["first_of_secret"] != row["id"]:
        notes.refused(Reason.REPEATED, f"the older key {row['first_of_secret']} has the same secret")
        return None
    secret = str(row["api_key"])
    try:
        keyformat.parse(secret)
    except MalformedKey as error:
        notes.refused(Reason.MALFORMED_KEY, str(error))
        return None
    key = ApiKey(
        id=row["id"],
        tenant_id=row["tenant_id"],
        agent_id=row["agent_id"],
        description=long_text(row, "description", notes),
        permissions=_permissions(row, notes),
        status=status(row, KeyStatus, KeyStatus.DISABLED, notes),
        last_used_at=_time_or_none(row, "last_used_at", notes),
        usage_count=_uses(row, notes),
        created_at=made_at(row, "created_at", notes),
        updated_at=made_at(row, "updated_at", notes),
    )
    try:
        key.expires_at = values.moment(row.get("expires_at"))
    except Unreadable as error:
        key.status = KeyStatus.DISABLED
        notes.found(Reason.BAD_TIME, f"expires_at: {error}; the key is disabled now")
    name = names.kept(values.text(row["name"]), key.id, most=_MOST)
    key.set_name(name.text)
    if name.problem:
        notes.found(Reason.RENAMED, f"{name.problem}; it is now {name.text}")
    if other_name:
        rename(key, other_name, "an older key of the tenant has this name", notes)
    fields = (
        "name", "agent_id", "description", "permissions", "status", "expires_at", "last_used_at", "usage_count",
        "created_at",
    )  # fmt: skip
    told = {field: getattr(key, field) for field in fields}
    return Found(key.id, key.tenant_id, ImportedKey(key, secret), told, agent_id=key.agent_id, secret=secret)


def _permissions(row: Row, notes: Notes) -> list[str]:
    """Those that are names of permissions; whoever cannot be read may do nothing."""
    said = document(row, "permissions", notes)
    if said is None:
        return []
    if not isinstance(said, list):
        notes.found(Reason.BAD_PERMISSION, "no list; the key may do nothing now")
        return []
    good = [name for name in said if isinstance(name, str) and permissions.NAME.fullmatch(name)]
    if len(good) < len(said):
        notes.found(Reason.BAD_PERMISSION, f"{len(said) - len(good)} of {len(said)} are no names, and were left out")
    try:
        return validators.clean_permissions(good)
    except BadPermissions as error:
        notes.found(Reason.BAD_PERMISSION, f"{error.detail}; only the first {validators.MAX_PERMISSIONS} were kept")
        return validators.clean_permissions(good[: validators.MAX_PERMISSIONS])


def _time_or_none(row: Row, column: str, notes: Notes) -> datetime | None:
    try:
        return values.moment(row.get(column))
    except Unreadable as error:
        notes.found(Reason.BAD_TIME, f"{column}: {error}")
        return None


def _uses(row: Row, notes: Notes) -> int:
    try:
        return values.number(row.get("usage_count") or 0)
    except Unreadable as error:
        notes.found(Reason.BAD_NUMBER, f"usage_count: {error}; it is 0 now")
        return 0
