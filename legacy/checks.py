"""Whether what is here is what is there: object by object, and key by key."""

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
from legacy import values
from legacy.grouping import Progress, groups
from legacy.importers import AnyKind, Found, kinds_of
from legacy.removals import imported
from legacy.reports import Report
from legacy.snapshot import Snapshot
from legacy.values import Unreadable

MISSING, REFUSED = "missing", "refused"


class Difference(NamedTuple):
    """An object that is not here as it is there: the fields, MISSING or REFUSED."""

    kind: str
    object_id: str
    tenant_id: str | None
    fields: tuple[str, ...]


@dataclass
class Comparison:
    """How many objects were compared, by kind, and which differ."""

    compared: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)


def compare(old: Snapshot, *, progress: Progress) -> Comparison:
    """Read everything again, and compare it with what is stored here. What an import refuses is a difference."""
    result = Comparison()
    kinds, report = kinds_of(old), Report()
    _compare(kinds.users, kinds.users.found(old, (), report), result, progress)
    for tenants in groups(old):
        for kind in (kinds.tenants, *kinds.within):
            _compare(kind, kind.found(old, tenants, report), result, progress)
    for kind in kinds.all:
        kind.orphans(old, report)
    for finding in report.findings:
        if finding.is_refused:
            result.compared[finding.kind] += 1
            result.differences.append(Difference(finding.kind, finding.object_id, finding.tenant_id, (REFUSED,)))
    return result


def _compare(kind: AnyKind, chunks: Iterator[list[Found[Any]]], result: Comparison, progress: Progress) -> None:
    for chunk in chunks:
        stored = kind.stored(chunk)
        came_over = set(imported(kind).values_list("object_id", flat=True)) if any(one.is_copy for one in chunk) else ()
        for one in chunk:
            row = stored.get(one.object_id)
            if row is not None and one.is_copy and one.object_id not in came_over:
                continue  # made here, for the old web service in front of maim
            differ = [MISSING] if row is None else kind.differences(row, one)
            if differ:
                result.differences.append(Difference(kind.name, one.object_id, one.tenant_id, tuple(differ)))
        result.compared[kind.name] += len(chunk)
        progress(len(chunk))


class Judged(NamedTuple):
    """A key in clear, masked, and what both systems say of it, as codes of validate-api-key."""

    masked: str
    key_id: str | None
    there: str
    here: str

    @property
    def is_same(self) -> bool:
        """Whether both say the same. That a tenant or an agent that is not active lets nobody in is new."""
        return self.there == self.here or (self.there, self.here) == (verification.VALID, verification.NOT_ACTIVE)


def judge(old: Snapshot, secrets: Iterable[str]) -> Iterator[Judged]:
    """What both systems say of each key; nothing is counted. Raises Unavailable."""
    now = timezone.now()
    for secret in secrets:
        row = next(old.rows("SELECT * FROM api_keys WHERE api_key = ?", [secret]), None)
        verdict = verification.verify(secret, None)
        if verdict.code == verification.UNAVAILABLE:
            raise Unavailable
        yield Judged(
            _masked(secret), None if row is None else row["id"], _verdict_there(secret, row, now), verdict.code
        )


def _verdict_there(secret: str, row: values.Row | None, now: datetime) -> str:
    """What the old service said: it looked the key up, and then at its status and its end."""
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
        end = values.moment(row.get("expires_at"))
    except Unreadable:
        return verification.DISABLED  # it failed on such a key, and let nobody in
    return verification.EXPIRED if end is not None and end <= now else verification.VALID


def _masked(secret: str) -> str:
    try:
        return keyformat.masked(keyformat.parse(secret).hint)
    except MalformedKey:
        return "no key"
