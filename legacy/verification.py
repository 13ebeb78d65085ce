"""A comparison of maim with the old databases: of every object, and of every key's verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone

from apikeys import keyformat, verification
from apikeys.keyformat import MalformedKey
from core.errors import Unavailable
from legacy.importers import AnyImporter, SourceObject, importers_for
from legacy.parsing import Row, UnreadableValue, parse_datetime
from legacy.removals import imported_records
from legacy.reports import Report
from legacy.snapshot import Snapshot
from legacy.tenant_batches import Progress, tenant_batches

MISSING, REFUSED = "missing", "refused"


class Difference(NamedTuple):
    """An object that differs. `fields` names the differing fields, or is MISSING or REFUSED alone."""

    kind: str
    object_id: str
    tenant_id: str | None
    fields: tuple[str, ...]


@dataclass
class Comparison:
    """The number of compared objects by kind, and the differences."""

    compared: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)


def compare(snapshot: Snapshot, *, progress: Progress) -> Comparison:
    """Compare every object of the old databases with maim's. An object that an import refuses is a difference."""
    result = Comparison()
    importers, report = importers_for(snapshot), Report()
    _compare(importers.users, importers.users.read(snapshot, (), report), result, progress)
    for tenant_ids in tenant_batches(snapshot):
        for importer in (importers.tenants, *importers.of_tenant_contents):
            _compare(importer, importer.read(snapshot, tenant_ids, report), result, progress)
    for importer in importers.all:
        importer.report_orphans(snapshot, report)
    for finding in report.findings:
        if finding.is_refused:
            result.compared[finding.kind] += 1
            result.differences.append(Difference(finding.kind, finding.object_id, finding.tenant_id, (REFUSED,)))
    return result


def _compare(
    importer: AnyImporter, chunks: Iterator[list[SourceObject[Any]]], result: Comparison, progress: Progress
) -> None:
    for chunk in chunks:
        existing = importer.existing(chunk)
        has_copies = any(one.is_copy for one in chunk)
        imported_ids = set(imported_records(importer).values_list("object_id", flat=True)) if has_copies else ()
        for one in chunk:
            row = existing.get(one.object_id)
            if row is not None and one.is_copy and one.object_id not in imported_ids:
                continue  # it was created in maim by the old web service, which keeps a copy
            differing = [MISSING] if row is None else importer.differences(row, one)
            if differing:
                result.differences.append(Difference(importer.name, one.object_id, one.tenant_id, tuple(differing)))
        result.compared[importer.name] += len(chunk)
        progress(len(chunk))


class KeyVerdicts(NamedTuple):
    """The verdicts of both systems on a key, as codes of validate-api-key. The key is masked."""

    masked: str
    key_id: str | None
    old: str
    new: str

    @property
    def is_same(self) -> bool:
        """True if both agree. NOT_ACTIVE agrees with VALID, because only maim looks at the tenant and the agent."""
        return self.old == self.new or (self.old, self.new) == (verification.VALID, verification.NOT_ACTIVE)


def compare_verdicts(snapshot: Snapshot, secrets: Iterable[str]) -> Iterator[KeyVerdicts]:
    """Yield the verdicts of both systems on each key. No use is counted. Raise Unavailable."""
    now = timezone.now()
    for secret in secrets:
        row = next(snapshot.rows("SELECT * FROM api_keys WHERE api_key = ?", [secret]), None)
        verdict = verification.verify(secret, None)
        if verdict.code == verification.UNAVAILABLE:
            raise Unavailable
        yield KeyVerdicts(
            _masked(secret), None if row is None else row["id"], _old_code(secret, row, now), verdict.code
        )


def _old_code(secret: str, row: Row | None, now: datetime) -> str:
    """Return the verdict of the old service, which looked at the key's status and expiry only."""
    if row is None:
        try:
            keyformat.parse(secret)
        except MalformedKey:
            return verification.MALFORMED
        return verification.UNKNOWN
    if row.get("status") == "expired":
        return verification.EXPIRED
    if row.get("status") != "active":
        return verification.DISABLED
    try:
        expires_at = parse_datetime(row.get("expires_at"))
    except UnreadableValue:
        return verification.DISABLED  # the old service failed on such a key and refused it
    return verification.EXPIRED if expires_at is not None and expires_at <= now else verification.VALID


def _masked(secret: str) -> str:
    try:
        return keyformat.masked(keyformat.parse(secret).hint)
    except MalformedKey:
        return "no key"
