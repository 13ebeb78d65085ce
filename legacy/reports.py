"""Reports of an import: what it did, and what it found wrong with the old data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


class Outcome(StrEnum):
    """The outcome of an object that was read."""

    WRITTEN = "written"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class Reason(StrEnum):
    """A reason why an object was changed on the way, or refused."""

    # The object was refused.
    REFERS_TO_NOTHING = "refers to nothing"
    BAD_ID = "bad id"
    MALFORMED_KEY = "malformed key"
    NOT_IMPORTED = "exists in maim, and was not imported"
    DELETED_IN_MAIM = "deleted in maim since it was imported"
    # The object was imported all the same.
    RENAMED = "renamed"
    CHANGED_TEXT = "text changed"
    COPIES_DIFFER = "copies differ"
    BAD_EMAIL = "bad e-mail"
    BAD_PASSWORD = "bad password hash"  # noqa: S105  # no password, but what is wrong with one
    BAD_TIME = "bad time"
    BAD_NUMBER = "bad number"
    BAD_JSON = "bad JSON"
    BAD_STATUS = "bad status"
    BAD_PERMISSION = "bad permission"
    NO_OWNER = "no such owner"
    REPEATED = "repeated"
    CONFIG_LEFT_OUT = "config partly left out"
    CONFIG_WARNING = "config is odd"


class Finding(NamedTuple):
    """One fault of one object. It quotes no secret."""

    kind: str
    object_id: str
    tenant_id: str | None
    reason: Reason
    detail: str
    is_refused: bool


@dataclass
class Report:
    """Counts by kind, and all findings."""

    read: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: str, outcome: Outcome, number: int = 1) -> None:
        """Count objects that were read, with their outcome."""
        self.read[kind] += number
        self.outcomes[kind, outcome] += number

    def add(self, other: Report) -> None:
        """Add another report's counts and findings."""
        self.read.update(other.read)
        self.outcomes.update(other.outcomes)
        self.removed.update(other.removed)
        self.findings.extend(other.findings)

    def notes_for(self, kind: str, object_id: Any, tenant_id: str | None) -> Notes:
        """Return the notes to which findings about one object are added."""
        return Notes(self, kind, str(object_id), tenant_id)

    def counts(self, kind: str) -> dict[str, int]:
        """Return all counts of a kind, by name."""
        outcomes = {outcome.value: self.outcomes[kind, outcome] for outcome in Outcome}
        return {"read": self.read[kind], **outcomes, "removed": self.removed[kind]}


@dataclass(frozen=True, slots=True)
class Notes:
    """The findings about one object."""

    _report: Report
    _kind: str
    _object_id: str
    _tenant_id: str | None

    def add(self, reason: Reason, detail: str) -> None:
        """Add a finding about an object that is imported all the same."""
        self._add(reason, detail, is_refused=False)

    def refuse(self, reason: Reason, detail: str) -> None:
        """Add the reason why the object is not imported, and count it as refused."""
        self._add(reason, detail, is_refused=True)
        self._report.count(self._kind, Outcome.REFUSED)

    def _add(self, reason: Reason, detail: str, *, is_refused: bool) -> None:
        finding = Finding(self._kind, self._object_id, self._tenant_id, reason, detail, is_refused)
        self._report.findings.append(finding)
